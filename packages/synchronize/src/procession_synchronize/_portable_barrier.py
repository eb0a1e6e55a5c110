"""Barrier of the portable variant: a condition and two numbers kept as the values of semaphores."""

from __future__ import annotations

import threading
import time
from operator import index

from procession_synchronize._portable_condition import Condition
from procession_synchronize._portable_locks import Lock, Semaphore
from procession_synchronize._portable_semlock import require_spawning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# States; a reset or broken barrier still has to let its waiters out before it can fill again.
FILLING, DRAINING, RESETTING, BROKEN = range(4)


class Barrier:
    """A point that ``parties`` processes or threads reach before any of them passes it.

    Args:
        parties: how many; at least 1.
        action: called by one of them when all have come, before they are let go.
        timeout: seconds that ``wait()`` waits by default; None: for ever.
        ctx: a context that tells the start method its children are started with.

    Raises:
        ValueError: parties is below 1.
        TypeError: it is not an integer.
    """

    __module__ = "procession_synchronize"

    def __init__(
        self,
        parties: int,
        action: Callable[[], Any] | None = None,
        timeout: float | None = None,
        *,
        ctx: Any = None,
    ) -> None:
        self._parties = index(parties)
        if self._parties < 1:
            raise ValueError(f"parties must be > 0, not {parties!r}")
        self._action = action
        self._timeout = timeout
        self._cond = Condition(Lock(ctx=ctx), ctx=ctx)
        self._waiting = Semaphore(0, ctx=ctx)
        self._state = Semaphore(FILLING, ctx=ctx)

    def __getstate__(self) -> tuple[Any, ...]:
        require_spawning(self)
        return (self._parties, self._action, self._timeout, self._cond, self._waiting, self._state)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._parties, self._action, self._timeout, self._cond, self._waiting, self._state = state

    @staticmethod
    def _value(word: Semaphore) -> int:
        # Not get_value(), which some platforms lack; the condition's lock is held.
        count = 0
        while word.acquire(False):
            count += 1
        for _ in range(count):
            word.release()
        return count

    def _set_state(self, state: int) -> None:
        while self._state.acquire(False):
            pass
        for _ in range(state):
            self._state.release()

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all parties have come.

        Args:
            timeout: seconds, at most; None: the barrier's own timeout.

        Returns:
            A number from 0 to parties - 1, different for each of them.

        Raises:
            threading.BrokenBarrierError: the barrier is broken, was aborted or reset, or the time is up.
        """
        if timeout is None:
            timeout = self._timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._cond:
            while (state := self._value(self._state)) in (DRAINING, RESETTING):
                if not self._sleep(deadline) and self._value(self._state) == state:
                    self._break()
            if state == BROKEN:
                raise threading.BrokenBarrierError
            place = self._value(self._waiting)
            self._waiting.release()
            try:
                if place + 1 == self._parties:
                    self._let_go()
                else:
                    self._wait_for_others(deadline)
                return place
            finally:
                self._waiting.acquire(False)
                if self._value(self._waiting) == 0 and self._value(self._state) in (DRAINING, RESETTING):
                    self._set_state(FILLING)
                    self._cond.notify_all()

    def _sleep(self, deadline: float | None) -> bool:
        """Sleep until notified; False if the time is up."""
        if deadline is None:
            return self._cond.wait()
        left = deadline - time.monotonic()
        return left > 0 and self._cond.wait(left)

    def _let_go(self) -> None:
        try:
            if self._action is not None:
                self._action()
        except BaseException:
            self._break()
            raise
        self._set_state(DRAINING)
        self._cond.notify_all()

    def _wait_for_others(self, deadline: float | None) -> None:
        while (state := self._value(self._state)) == FILLING:
            if not self._sleep(deadline) and self._value(self._state) == FILLING:
                self._break()
                raise threading.BrokenBarrierError
        if state != DRAINING:
            raise threading.BrokenBarrierError

    def _break(self) -> None:
        self._set_state(BROKEN)
        self._cond.notify_all()

    def abort(self) -> None:
        """Break the barrier: all who wait and all who come get BrokenBarrierError until ``reset()``."""
        with self._cond:
            self._break()

    def reset(self) -> None:
        """Make the barrier empty and whole; those who wait get BrokenBarrierError."""
        with self._cond:
            self._set_state(RESETTING if self._value(self._waiting) else FILLING)
            self._cond.notify_all()

    @property
    def parties(self) -> int:
        """How many must come."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many are waiting now."""
        with self._cond:
            return self._value(self._waiting) if self._value(self._state) == FILLING else 0

    @property
    def broken(self) -> bool:
        """Whether the barrier is broken."""
        with self._cond:
            return self._value(self._state) == BROKEN

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if self.broken:
            return f"<{name} at {id(self):#x}: broken>"
        return f"<{name} at {id(self):#x}: waiters={self.n_waiting}/{self.parties}>"
