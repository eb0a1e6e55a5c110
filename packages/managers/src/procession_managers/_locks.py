"""Lock, RLock, Semaphore, BoundedSemaphore, as a server keeps them."""

from __future__ import annotations

from collections import deque
from time import monotonic

from procession_core import OwnerDiedError

from ._wait import Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def lock_timeout(blocking: Any, timeout: Any) -> float | None:
    """Return the seconds to wait for a lock, or None for ever. Raises ValueError as threading's locks do."""
    if not blocking:
        if timeout is not None and timeout != -1:
            raise ValueError(
                f"can't specify a timeout for a non-blocking call, but timeout is {timeout!r}; leave it out"
            )
        return 0.0
    if timeout is None or timeout == -1:
        return None
    if timeout < 0:
        raise ValueError(
            f"timeout value must be a non-negative number, or -1 to wait for ever, not {timeout!r}"
        )
    return float(timeout)


class LockBase:
    """A line of callers before a lock. ``owner`` is the caller that holds it."""

    _waits_ = frozenset(("acquire",))

    def __init__(self) -> None:
        self.owner: Any = None
        self._lease: Any = None
        self._since = 0.0
        self._line: deque[Wait] = deque()
        self._death: OwnerDiedError | None = None
        self._orphaned = False

    def _take(self, caller: Any) -> None:
        self.owner = caller
        lease = caller.lease
        if lease is not None:
            self._lease = lease
            self._since = monotonic()
            lease.held.add(self)

    def _drop(self) -> None:
        self.owner = None
        if self._orphaned:
            self._orphaned = False
            self._death = None
        if self._lease is not None:
            self._lease.held.discard(self)
            self._lease = None
        self._next()

    def _next(self) -> None:
        line = self._line
        while line and self.owner is None:
            wait = line.popleft()
            if not wait.live:
                continue
            if self._death is not None:
                death, self._death = self._death, None
                # A condition's wait() ends with the lock held, also when it raises: `with` will release it.
                if wait.item is not None:
                    self._take_for(wait)
                if not wait.reject(death):
                    self._death = death
                    if wait.item is not None:
                        self._untake()
                continue
            self._take_for(wait)
            if not wait.resolve(True):
                self._untake()

    def _take_for(self, wait: Wait) -> None:
        self._take(wait.caller)

    def _untake(self) -> None:
        # The caller died in line: it never had the lock.
        if self._lease is not None:
            self._lease.held.discard(self)
            self._lease = None
        self._forget_owner()

    def owner_died(self, lease: Any) -> None:
        """The process that held the lock is gone: one of those who acquire is told, and the lock is free."""
        held_for = monotonic() - self._since
        self._lease = None
        self._orphaned = True
        self._death = OwnerDiedError(
            f"process {lease.name} (pid {lease.pid}) ended while it held this {type(self).__name__}, for "
            f"{held_for:.3f} s; the lock is free again, but what it protects may be half done",
            lease.pid,
            lease.name,
            held_for,
        )
        # With nobody in line the lock stays taken: another process may be about to release it, which is legal.
        if self._line:
            self._free_orphan()
            self._next()

    def _free_orphan(self) -> None:
        self._orphaned = False
        self._forget_owner()

    def _forget_owner(self) -> None:
        self.owner = None

    def _acquire(self, caller: Any, timeout: float | None) -> Any:
        if self._orphaned:
            self._free_orphan()
        if self.owner is None and not self._line:
            if self._death is not None:
                death, self._death = self._death, None
                raise death
            self._take(caller)
            return True
        if timeout == 0.0:
            return False
        return Wait(caller, timeout, on_timeout=_false, line=self._line)

    def take_back(self, wait: Wait, count: int) -> None:
        """Resolve *wait* with True as soon as its caller has the lock again, *count* times where that matters."""
        wait.item = count
        wait.line = self._line
        self._line.append(wait)
        if self.owner is None:
            self._next()


def _false(wait: Wait) -> bool:
    return False


class Lock(LockBase):
    """What ``manager.Lock()`` stands for."""

    def acquire(self, caller: Any, blocking: Any = True, timeout: Any = -1) -> Any:
        """Take the lock, or wait for it."""
        return self._acquire(caller, lock_timeout(blocking, timeout))

    def release(self) -> None:
        """Free the lock. Raises RuntimeError if nobody holds it."""
        if self.owner is None:
            raise RuntimeError("release unlocked lock: nobody holds it, so acquire() has to come first")
        self._drop()

    def locked(self) -> bool:
        """Say whether somebody holds the lock."""
        return self.owner is not None

    # A condition gives its lock up and takes it back.
    def is_owned(self, caller: Any) -> bool:
        """Say whether the lock is held, by whomever."""
        return self.owner is not None

    def give_up(self) -> int:
        """Free the lock; return what ``take_back()`` needs."""
        self._drop()
        return 1

    def __repr__(self) -> str:
        return f"<{'unlocked' if self.owner is None else 'locked'} {type(self).__name__} at {id(self):#x}>"


class RLock(LockBase):
    """What ``manager.RLock()`` stands for."""

    _waits_ = frozenset(("acquire", "release"))

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def acquire(self, caller: Any, blocking: Any = True, timeout: Any = -1) -> Any:
        """Take the lock once more, or wait for it."""
        wanted = lock_timeout(blocking, timeout)
        if self.owner is caller.identity:
            self._count += 1
            return True
        return self._acquire(caller, wanted)

    def _take(self, caller: Any) -> None:
        super()._take(caller)
        self.owner = caller.identity
        self._count = 1

    def _forget_owner(self) -> None:
        self.owner = None
        self._count = 0

    def release(self, caller: Any) -> None:
        """Free the lock once. Raises RuntimeError if another thread, or nobody, holds it."""
        if self.owner is not caller.identity:
            raise RuntimeError(
                f"cannot release un-acquired lock: {'nobody' if self.owner is None else 'another thread'} holds it, "
                "and only the thread that called acquire() may release an RLock"
            )
        self._count -= 1
        if not self._count:
            self._drop()

    def locked(self) -> bool:
        """Say whether somebody holds the lock."""
        return self.owner is not None

    def is_owned(self, caller: Any) -> bool:
        """Say whether *caller* holds the lock."""
        return self.owner is caller.identity

    def give_up(self) -> int:
        """Free the lock altogether; return how often it was held."""
        count, self._count = self._count, 0
        self._drop()
        return count

    def _take_for(self, wait: Wait) -> None:
        self._take(wait.caller)
        self._count = wait.item or 1

    def __repr__(self) -> str:
        state = "unlocked" if self.owner is None else "locked"
        return f"<{state} {type(self).__name__} count={self._count} at {id(self):#x}>"


class Semaphore:
    """What ``manager.Semaphore()`` stands for."""

    _waits_ = frozenset(("acquire",))

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError(f"semaphore initial value must be >= 0, not {value!r}")
        self._value = value
        self._line: deque[Wait] = deque()

    def acquire(self, caller: Any, blocking: Any = True, timeout: Any = None) -> Any:
        """Take one permit, or wait for it."""
        if not blocking and timeout is not None:
            raise ValueError(
                f"can't specify timeout for non-blocking acquire, but timeout is {timeout!r}; leave it out"
            )
        if self._value > 0:
            self._value -= 1
            return True
        if not blocking or (timeout is not None and timeout <= 0):
            return False
        return Wait(caller, timeout, on_timeout=_false, line=self._line)

    def release(self, n: int = 1) -> None:
        """Give *n* permits back. Raises ValueError for less than one."""
        if n < 1:
            raise ValueError(f"n must be one or more, not {n!r}")
        for _ in range(n):
            while self._line:
                if self._line.popleft().resolve(True):
                    break
            else:
                self._value += 1

    def get_value(self) -> int:
        """Return the number of permits that can be taken."""
        return self._value

    def locked(self) -> bool:
        """Say whether no permit is left."""
        return self._value == 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}: value={self._value}>"


class BoundedSemaphore(Semaphore):
    """What ``manager.BoundedSemaphore()`` stands for."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value)
        self._initial = value

    def release(self, n: int = 1) -> None:
        """Give *n* permits back. Raises ValueError if that is more than were taken."""
        if n < 1:
            raise ValueError(f"n must be one or more, not {n!r}")
        if self._value + n > self._initial:
            raise ValueError(
                f"Semaphore released too many times: {self._value} of {self._initial} permits are there, so {n} more "
                "were never taken"
            )
        super().release(n)
