"""Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event, Barrier."""

from __future__ import annotations

from procession_synchronize._api import (
    SEM_VALUE_MAX,
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Lock,
    RLock,
    Semaphore,
    SemLock,
)

__all__: tuple[str, ...] = (
    "SEM_VALUE_MAX",
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Lock",
    "RLock",
    "SemLock",
    "Semaphore",
)
