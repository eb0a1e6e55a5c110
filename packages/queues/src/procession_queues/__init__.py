"""Queue, JoinableQueue, SimpleQueue."""

from __future__ import annotations

from procession_queues._api import Empty, Full, JoinableQueue, Queue, ShutDown, SimpleQueue

__all__: tuple[str, ...] = ("Empty", "Full", "JoinableQueue", "Queue", "ShutDown", "SimpleQueue")
