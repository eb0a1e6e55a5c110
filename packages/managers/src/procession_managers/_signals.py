"""Condition, Event, Barrier, as a server keeps them."""

from __future__ import annotations

from collections import deque
from threading import BrokenBarrierError

from ._locks import Lock, RLock
from ._wait import Wait, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BROKEN = (
    "the barrier is broken: a party died, waited too long or called abort(); call reset() when all are ready"
)


class Condition:
    """What ``manager.Condition()`` stands for."""

    _waits_ = frozenset(("acquire", "notify", "notify_all", "release", "wait"))

    def __init__(self, lock: Any = None) -> None:
        if lock is None:
            lock = RLock()
        if not isinstance(lock, (Lock, RLock)):
            raise TypeError(f"a managed Condition needs a Lock or RLock of the same manager, not {lock!r}")
        self._lock = lock
        self._line: deque[Wait] = deque()

    def acquire(self, caller: Any, blocking: Any = True, timeout: Any = -1) -> Any:
        """Take the lock, or wait for it."""
        return self._lock.acquire(caller, blocking, timeout)

    def release(self, caller: Any) -> None:
        """Free the lock."""
        if isinstance(self._lock, RLock):
            self._lock.release(caller)
        else:
            self._lock.release()

    def locked(self) -> bool:
        """Say whether somebody holds the lock."""
        return self._lock.locked()

    def wait(self, caller: Any, timeout: Any = None) -> Any:
        """Free the lock, wait for a notification, take the lock back; False if there was none in time.

        Raises RuntimeError if the caller does not hold the lock.
        """
        lock = self._lock
        if not lock.is_owned(caller):
            raise RuntimeError("cannot wait on un-acquired lock; call wait() inside `with condition:`")
        outer = Wait(caller, None, on_cancel=lambda _: inner.cancel())
        count = 0

        def take_back(notified: bool) -> bool:
            def taken(value: Any, error: BaseException | None) -> bool:
                return outer.resolve(notified) if error is None else outer.reject(error)

            back = Wait(caller, None)
            back.answer = taken
            outer.on_cancel = lambda _: back.cancel()
            lock.take_back(back, count)
            return True

        inner = Wait(caller, seconds(timeout), on_timeout=_false, line=self._line)
        inner.answer = lambda value, error: take_back(bool(value))
        # The server looks at the outer wait alone, so that is where the time must stand.
        outer.deadline = inner.deadline

        def late(wait: Wait) -> Wait:
            inner.expire()
            return wait  # it goes on until its caller has the lock again

        outer.on_timeout = late
        count = lock.give_up()
        return outer

    def notify(self, caller: Any, n: int = 1) -> None:
        """Wake at most *n* of those that wait. Raises RuntimeError if the caller does not hold the lock."""
        if not self._lock.is_owned(caller):
            raise RuntimeError("cannot notify on un-acquired lock; call notify() inside `with condition:`")
        line = self._line
        while n > 0 and line:
            if line.popleft().resolve(True):
                n -= 1

    def notify_all(self, caller: Any) -> None:
        """Wake all that wait. Raises RuntimeError if the caller does not hold the lock."""
        self.notify(caller, len(self._line))

    def __repr__(self) -> str:
        return f"<Condition({self._lock!r}, {len(self._line)})>"


def _false(wait: Wait) -> bool:
    return False


class Event:
    """What ``manager.Event()`` stands for."""

    _waits_ = frozenset(("wait",))

    def __init__(self) -> None:
        self._flag = False
        self._line: deque[Wait] = deque()

    def is_set(self) -> bool:
        """Say whether the event is set."""
        return self._flag

    def set(self) -> None:
        """Set the event and wake all that wait for it."""
        self._flag = True
        line, self._line = self._line, deque()
        for wait in line:
            wait.resolve(True)

    def clear(self) -> None:
        """Unset the event."""
        self._flag = False

    def wait(self, caller: Any, timeout: Any = None) -> Any:
        """Wait until the event is set; False if it was not in time."""
        if self._flag:
            return True
        return Wait(caller, seconds(timeout), on_timeout=_false, line=self._line)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}: {'set' if self._flag else 'unset'}>"


class Barrier:
    """What ``manager.Barrier()`` stands for."""

    _waits_ = frozenset(("wait",))

    def __init__(
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> None:
        if parties < 1:
            raise ValueError(f"parties must be > 0, not {parties!r}")
        self._parties = parties
        self._action = action
        self._timeout = timeout
        self._line: list[Wait] = []
        self._broken = False

    @property
    def parties(self) -> int:
        """How many have to come."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many are waiting."""
        return len(self._line)

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""
        return self._broken

    def wait(self, caller: Any, timeout: Any = None) -> Any:
        """Wait for the others; the number of the one that came as the how-manieth.

        Raises BrokenBarrierError if the barrier is broken, also by a timeout, or by the death of a waiter.
        """
        if self._broken:
            raise BrokenBarrierError(_BROKEN)
        if len(self._line) + 1 < self._parties:
            limit = seconds(self._timeout if timeout is None else timeout)
            return Wait(
                caller, limit, on_timeout=self._late, on_cancel=lambda _: self._break(), line=self._line
            )
        if self._action is not None:
            try:
                self._action()
            except BaseException:
                self._break()
                raise
        line, self._line = self._line, []
        for number, wait in enumerate(line):
            wait.resolve(number)
        return len(line)

    def _late(self, wait: Wait) -> Any:
        self._break()
        raise BrokenBarrierError(_BROKEN)

    def _break(self) -> None:
        self._broken = True
        line, self._line = self._line, []
        for wait in line:
            wait.reject(BrokenBarrierError(_BROKEN))

    def reset(self) -> None:
        """Make the barrier as new; those that wait get BrokenBarrierError."""
        self._break()
        self._broken = False

    def abort(self) -> None:
        """Break the barrier."""
        self._break()

    def __repr__(self) -> str:
        state = "broken" if self._broken else f"waiters={len(self._line)}/{self._parties}"
        return f"<{type(self).__name__} at {id(self):#x}: {state}>"
