"""faster-fifo: its queue, with the stdlib's processes around it."""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace
from typing import Any

import faster_fifo

from bench._measure import Unsupported

# It is bounded in bytes, and its default of 1 MB cannot hold one of the largest messages measured.
_LARGE_BYTES = 10_000_000


def _queue(maxsize: int = 0) -> Any:
    if maxsize:
        raise Unsupported("a faster_fifo.Queue is bounded in bytes, not in items")
    return faster_fifo.Queue()


def _large_queue() -> Any:
    return faster_fifo.Queue(_LARGE_BYTES)


def _get_many(queue: Any, max_items: int, timeout: float) -> list[Any]:
    # No override of the method: its own get() goes through it and would be slowed.
    items: list[Any] = queue.get_many(timeout=timeout, max_messages_to_get=max_items)
    return items


def load(name: str) -> Any:
    """The namespace with faster-fifo's queue."""
    return SimpleNamespace(
        Queue=_queue,
        get_many=_get_many,
        large_queue=_large_queue,
        Process=multiprocessing.Process,
        set_start_method=multiprocessing.set_start_method,
    )
