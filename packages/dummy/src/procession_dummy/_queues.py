"""Queue, JoinableQueue, SimpleQueue."""

from __future__ import annotations

import queue


class Queue(queue.Queue):  # type: ignore[type-arg]
    """``queue.Queue`` with the methods that only the queues between processes have."""

    def close(self) -> None:
        """Do nothing: there is nothing to flush."""

    def join_thread(self) -> None:
        """Do nothing."""

    def cancel_join_thread(self) -> None:
        """Do nothing."""


class JoinableQueue(Queue):
    """The same: ``task_done()`` and ``join()`` are there already."""


class SimpleQueue(queue.SimpleQueue):  # type: ignore[type-arg]
    """``queue.SimpleQueue`` with ``close()``."""

    def close(self) -> None:
        """Do nothing."""
