"""The multiprocessing API on threads."""

from __future__ import annotations

from threading import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

from ._connection import Client, Connection, Listener, Pipe, families
from ._managers import Array, Manager, Namespace, Value, dict, list, set, shutdown  # noqa: A004
from ._pool import Pool
from ._process import (
    DummyProcess,
    Process,
    active_children,
    cpu_count,
    current_process,
    freeze_support,
    parent_process,
)
from ._queues import JoinableQueue, Queue, SimpleQueue

__all__ = (
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "Client",
    "Condition",
    "Connection",
    "DummyProcess",
    "Event",
    "JoinableQueue",
    "Listener",
    "Lock",
    "Manager",
    "Namespace",
    "Pipe",
    "Pool",
    "Process",
    "Queue",
    "RLock",
    "Semaphore",
    "SimpleQueue",
    "Value",
    "active_children",
    "cpu_count",
    "current_process",
    "dict",
    "families",
    "freeze_support",
    "list",
    "parent_process",
    "set",
    "shutdown",
)
