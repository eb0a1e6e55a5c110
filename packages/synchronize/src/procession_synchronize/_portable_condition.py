"""Condition and Event of the portable variant, on semaphores alone.

A condition has three semaphores beside its lock: how many sleep, how many of those have left their sleep,
and the gate they sleep at.  A notifier opens the gate for as many as it wants awake and waits until that many
have confirmed: without that a later sleeper could slip through a gate that was opened for an earlier one.  A
waiter that is killed asleep is still counted, and the next notifier waits for its confirmation; the native
variant has no such count.
"""

from __future__ import annotations

import time

from procession_synchronize._portable_locks import Lock, RLock, Semaphore
from procession_synchronize._portable_semlock import require_spawning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any


class Condition:
    """A condition variable on a Lock or RLock.

    Args:
        lock: the lock to use; a new RLock if None.
        ctx: a context that tells the start method its children are started with.
    """

    __module__ = "procession_synchronize"

    def __init__(self, lock: Lock | RLock | None = None, *, ctx: Any = None) -> None:
        self._lock = lock if lock is not None else RLock(ctx=ctx)
        self._sleeping_count = Semaphore(0, ctx=ctx)
        self._woken_count = Semaphore(0, ctx=ctx)
        self._wait_semaphore = Semaphore(0, ctx=ctx)
        self._bind()

    def _bind(self) -> None:
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __getstate__(self) -> tuple[Any, ...]:
        require_spawning(self)
        return (self._lock, self._sleeping_count, self._woken_count, self._wait_semaphore)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._lock, self._sleeping_count, self._woken_count, self._wait_semaphore = state
        self._bind()

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        try:
            waiters = str(self._sleeping_count.get_value() - self._woken_count.get_value())
        except Exception:  # the platform cannot tell
            waiters = "unknown"
        return f"<{type(self).__name__}({self._lock}, {waiters})>"

    def locked(self) -> bool:
        """Whether the lock is held."""
        return self._lock.locked()

    def _check_owned(self, what: str) -> None:
        if not self._lock._semlock._is_mine():
            begin = "" if what == "wait" else "lock is not owned: "  # CPython's two texts begin differently
            raise AssertionError(f"{begin}must acquire() condition before using {what}()")

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock up (all levels of it), sleep until notified, and take it again.

        Args:
            timeout: seconds, at most; None: for ever.

        Returns:
            False if the timeout passed first.

        Raises:
            AssertionError: this thread does not hold the lock.
        """
        self._check_owned("wait")
        self._sleeping_count.release()
        levels = self._lock._semlock._count()
        for _ in range(levels):
            self._lock.release()
        try:
            return bool(self._wait_semaphore.acquire(True, timeout))
        finally:
            self._woken_count.release()
            for _ in range(levels):
                self._lock.acquire()

    def notify(self, n: int = 1) -> None:
        """Wake at most ``n`` of those who wait.

        Raises:
            AssertionError: this thread does not hold the lock.
        """
        self._check_owned("notify")
        # Those who timed out since the last time have confirmed without being asked.
        while self._woken_count.acquire(False):
            self._sleeping_count.acquire(False)
        asked = 0
        while asked < n and self._sleeping_count.acquire(False):
            self._wait_semaphore.release()
            asked += 1
        for _ in range(asked):
            self._woken_count.acquire()
        if asked:
            # A gate left open by one who timed out just now would let the next sleeper through.
            while self._wait_semaphore.acquire(False):
                pass

    def notify_all(self) -> None:
        """Wake all who wait.

        Raises:
            AssertionError: this thread does not hold the lock.
        """
        self.notify(2**62)

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until ``predicate()`` is true; returns its last value.

        Args:
            predicate: called with the lock held.
            timeout: seconds, at most; None: for ever.

        Raises:
            AssertionError: this thread does not hold the lock.
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


class Event:
    """A flag that processes can wait for.

    Args:
        ctx: a context that tells the start method its children are started with.
    """

    __module__ = "procession_synchronize"

    def __init__(self, *, ctx: Any = None) -> None:
        self._cond = Condition(Lock(ctx=ctx), ctx=ctx)
        self._flag = Semaphore(0, ctx=ctx)

    def is_set(self) -> bool:
        """Whether the flag is set."""
        with self._cond:
            return self._test()

    def _test(self) -> bool:
        if self._flag.acquire(False):
            self._flag.release()
            return True
        return False

    def set(self) -> None:
        """Set the flag and wake all who wait for it."""
        with self._cond:
            self._flag.acquire(False)
            self._flag.release()
            self._cond.notify_all()

    def clear(self) -> None:
        """Clear the flag."""
        with self._cond:
            self._flag.acquire(False)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set.

        Args:
            timeout: seconds, at most; None: for ever.

        Returns:
            Whether the flag is set.
        """
        with self._cond:
            if not self._test():
                self._cond.wait(timeout)
            else:
                return True
            return self._test()

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"
