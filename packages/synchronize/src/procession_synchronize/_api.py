"""The classes of the variant that runs here, chosen once at import."""

from __future__ import annotations

from procession_synchronize._variant import core

if core is not None:
    from procession_synchronize._native import (
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
else:
    from procession_synchronize._portable import (  # type: ignore[assignment]
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
