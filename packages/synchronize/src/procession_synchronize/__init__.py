"""Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event, Barrier."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
