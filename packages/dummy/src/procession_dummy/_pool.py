"""Pool: threads."""

from __future__ import annotations

from procession_pool import ThreadPool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def Pool(
    processes: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: Iterable[Any] = (),
) -> ThreadPool:
    """Return a pool of threads. Raises ValueError for less than one, TypeError for a wrong initializer."""
    return ThreadPool(processes, initializer, tuple(initargs))
