"""The classes of the native variant: the core's types with pickling and reprs.

Everything that is called often is the core's own C method, inherited and not wrapped.
"""

from __future__ import annotations

import threading
import time

from procession_core import current_transfer, runtime
from procession_synchronize._semlock_view import ViewOfSemLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from procession_synchronize import _core_types as core
else:
    from procession_synchronize._variant import core

SEM_VALUE_MAX: int = core.SEM_VALUE_MAX


def _rebuild(cls: Any, handle: Any) -> Any:
    """The object that a pickle names.

    Raises:
        StaleHandleError: it has been freed since.
        ForeignTreeError: it belongs to another process tree.
        ValueError: the handle is damaged.
    """
    return cls._open(handle)


def _rebuild_barrier(cls: Any, handle: Any, action: Any, timeout: float | None) -> Any:
    barrier = cls._open(handle)
    barrier._action = action
    barrier._timeout = timeout
    return barrier


def _hold(shared: Any) -> Any:
    """The handle of an object that is being pickled; what carries the pickle takes a reference."""
    transfer = current_transfer()
    if transfer is not None:
        transfer.hold(shared)
    return shared.handle()


def _owner_name(holder: str) -> str:
    if holder == "mine":
        thread = threading.current_thread().name
        return runtime.name if thread == "MainThread" else f"{runtime.name}|{thread}"
    return {"free": "None", "thread": "SomeOtherThread", "process": "SomeOtherProcess"}[holder]


class SemLock:
    """What Lock, RLock and the semaphores have in common, for ``isinstance``."""

    __module__ = "procession_synchronize"
    _semlock = ViewOfSemLock()


class Lock(core.Lock, SemLock):
    """A lock that any process or thread may release.

    ``acquire(block=True, timeout=None)`` returns whether the lock was acquired in ``timeout`` seconds (None:
    for ever, negative: not at all); ``release()`` raises ValueError if it is not held.  It is also a context
    manager.

    Args:
        on_owner_death: what happens to whoever acquires a lock whose owner died holding it: ``"raise"``:
            OwnerDiedError, and the lock is free again; ``"recover"``: the lock and a RuntimeWarning.
        ctx: accepted for compatibility; the object serves every start method.

    Raises:
        ValueError: ``on_owner_death`` is something else.
        MemoryError: the arena has no room.
    """

    __module__ = "procession_synchronize"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(owner={_owner_name(self._state()[0])})>"

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), _hold(self))


class RLock(core.RLock, SemLock):
    """A lock that its owning thread may acquire again; only that thread may release it.

    ``release()`` raises AssertionError for all others.

    Args:
        on_owner_death: as for ``Lock``.
        ctx: accepted for compatibility; the object serves every start method.

    Raises:
        ValueError: ``on_owner_death`` is something else.
        MemoryError: the arena has no room.
    """

    __module__ = "procession_synchronize"

    def __repr__(self) -> str:
        holder, levels = self._state()
        count = {"free": "0", "mine": str(levels)}.get(holder, "nonzero")
        return f"<{type(self).__name__}({_owner_name(holder)}, {count})>"

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), _hold(self))


class Semaphore(core.Semaphore, SemLock):
    """A counting semaphore.

    Args:
        value: how many acquires succeed before one waits; at least 0.
        track_holders: give the permits of a process that died back.  Each permit is then a word that names
            its holder: acquiring looks through them, so this is for small values (65536 at most).  A release
            by a process that holds none adds a permit.
        ctx: accepted for compatibility; the object serves every start method.

    Raises:
        ValueError: the value is negative or too large.
        TypeError: it is not an integer.
        MemoryError: the arena has no room.
    """

    __module__ = "procession_synchronize"

    def __new__(cls, value: int = 1, *, track_holders: bool = False, ctx: Any = None) -> Semaphore:
        made: Semaphore = super().__new__(cls, value, track_holders=track_holders)
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()})>"

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), _hold(self))


class BoundedSemaphore(Semaphore):
    """A semaphore whose value may not exceed the one it started with: a release too many is a ValueError.

    Args:
        value: how many acquires succeed before one waits; at least 0.
        track_holders: as for ``Semaphore``; a release by a process that holds none gives back another's.
        ctx: accepted for compatibility; the object serves every start method.
    """

    __module__ = "procession_synchronize"

    def __new__(cls, value: int = 1, *, track_holders: bool = False, ctx: Any = None) -> BoundedSemaphore:
        # Past Semaphore, which knows nothing of bounds.
        made: BoundedSemaphore = core.Semaphore.__new__(cls, value, bounded=True, track_holders=track_holders)
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()}, maxvalue={self._maxvalue})>"


class Event(core.Event):
    """A flag that processes can wait for.  ``set()`` may be called from a signal handler.

    Args:
        ctx: accepted for compatibility; the object serves every start method.

    Raises:
        MemoryError: the arena has no room.
    """

    __module__ = "procession_synchronize"

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), _hold(self))


class Condition(core.Condition):
    """A condition variable on a Lock or RLock.  A waiter that was killed takes nobody's notification.

    Args:
        lock: the lock to use; a new RLock if None.
        ctx: accepted for compatibility; the object serves every start method.

    Raises:
        TypeError: the lock is not a Lock or RLock of this library.
        MemoryError: the arena has no room.
    """

    __module__ = "procession_synchronize"

    def __new__(cls, lock: Lock | RLock | None = None, *, ctx: Any = None) -> Condition:
        made: Condition = super().__new__(cls, RLock() if lock is None else lock)
        return made

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until ``predicate()`` is true; returns its last value.

        Args:
            predicate: called with the lock held.
            timeout: seconds, at most; None: for ever.

        Raises:
            AssertionError: this thread does not hold the lock.
            OwnerDiedError: the lock's owner died; the lock is held.
        """
        result = predicate()
        deadline = None if result or timeout is None else time.monotonic() + timeout
        while not result:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def locked(self) -> bool:
        """Whether the lock is held."""
        return bool(self._lock.locked())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock!r}, {self._waiters()})>"

    def __reduce__(self) -> Any:
        return _rebuild_condition, (type(self), _hold(self), self._lock)


def _rebuild_condition(cls: Any, handle: Any, lock: Any) -> Any:
    return cls._open((handle, lock))


class Barrier(core.Barrier):
    """A point that ``parties`` processes or threads reach before any of them passes it.

    The death of a party that waits breaks it.

    Args:
        parties: how many; at least 1.
        action: called by one of them when all have come, before they are let go.
        timeout: seconds that ``wait()`` waits by default; None: for ever.
        ctx: accepted for compatibility; the object serves every start method.

    Raises:
        ValueError: parties is below 1.
        TypeError: it is not an integer.
        MemoryError: the arena has no room.
    """

    __module__ = "procession_synchronize"

    _action: Callable[[], Any] | None
    _timeout: float | None

    def __new__(
        cls,
        parties: int,
        action: Callable[[], Any] | None = None,
        timeout: float | None = None,
        *,
        ctx: Any = None,
    ) -> Barrier:
        made: Barrier = super().__new__(cls, parties)
        made._action = action
        made._timeout = timeout
        return made

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have come.

        Args:
            timeout: seconds, at most; None: the barrier's own timeout.

        Returns:
            A number from 0 to parties - 1, different for each of them.

        Raises:
            threading.BrokenBarrierError: the barrier is broken, was aborted or reset, a waiting party died,
                or the time is up.
        """
        if timeout is None:
            timeout = self._timeout
        action = self._action
        if action is None:
            return int(self._wait(timeout, True))
        place = self._wait(timeout, False)
        if place >= 0:
            return int(place)
        try:
            action()
        except BaseException:
            self.abort()
            raise
        return int(self._go(place))

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if self.broken:
            return f"<{name} at {id(self):#x}: broken>"
        return f"<{name} at {id(self):#x}: waiters={self.n_waiting}/{self.parties}>"

    def __reduce__(self) -> Any:
        return _rebuild_barrier, (type(self), _hold(self), self._action, self._timeout)
