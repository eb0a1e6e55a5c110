"""The classes of the variant that runs here, chosen once at import."""

from __future__ import annotations

from queue import Empty, Full

from procession_core import ShutDown
from procession_queues._variant import core

if core is not None:
    from procession_queues._native import JoinableQueue, Queue, SimpleQueue
else:
    from procession_queues._portable import (  # type: ignore[assignment]
        JoinableQueue,
        Queue,
        SimpleQueue,
    )

__all__ = ("Empty", "Full", "JoinableQueue", "Queue", "ShutDown", "SimpleQueue")
