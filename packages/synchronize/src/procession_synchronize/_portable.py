"""The portable variant's classes, under the names that both variants have."""

from __future__ import annotations

from procession_synchronize._portable_barrier import Barrier
from procession_synchronize._portable_condition import Condition, Event
from procession_synchronize._portable_locks import BoundedSemaphore, Lock, RLock, Semaphore
from procession_synchronize._portable_semlock import SEM_VALUE_MAX, SemLock

__all__ = (
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
