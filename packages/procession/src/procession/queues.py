"""Queues between processes (``multiprocessing.queues``)."""

from __future__ import annotations

from procession_queues import Empty, Full, JoinableQueue, Queue, ShutDown, SimpleQueue

__all__ = ("Empty", "Full", "JoinableQueue", "Queue", "ShutDown", "SimpleQueue")
