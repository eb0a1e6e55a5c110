"""AsyncResult: the outcome of one call, or of all tasks of a map, on the cluster."""

from __future__ import annotations

import threading
import time

from procession_core import TimeoutError, check_timeout  # noqa: A004 - the documented name
from procession_pool import CancelledError, NotReadyError
from procession_pool._report import unraisable
from procession_pool._results import future_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future
    from typing import Any

    from ._engine import Engine
    from ._pool import Pool

_LOOK = 0.5
"""Seconds between two looks at whether the scheduler is still there, while waiting for something it should send."""


class Waiting:
    """A condition that also notices the scheduler's death."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.changed = threading.Condition()

    def until(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until ready() (called with the lock held); False after *timeout* seconds. Raises ServerDiedError."""
        deadline = None if timeout is None else time.monotonic() + max(0.0, timeout)
        with self.changed:
            while not ready():
                left = _LOOK if deadline is None else min(_LOOK, deadline - time.monotonic())
                if left <= 0:
                    return False
                if not self.changed.wait(left) and not ready():
                    self.engine.check()
            return True


class Job:
    """One call of a pool's method: what it waits for, and who is told when it is over."""

    def __init__(
        self,
        pool: Pool,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._engine = pool._engine
        self._waiting = Waiting(self._engine)
        self._pool: Pool | None = pool
        self._callbacks = (callback, error_callback)
        self._hooks: list[Callable[[Any], object]] = []
        self._sealed = False  # the outcome is known
        self._over = False  # and everybody may see it, the callback having run
        self._success = False
        self._value: Any = None
        self._futures: dict[int, Any] = {}
        self._job = pool._add(self)

    # ---- the pool's side

    def _finish(self, success: bool, value: Any) -> None:
        with self._waiting.changed:
            if self._sealed:
                return
            self._sealed = True
            self._success = success
            self._value = value
            self._futures = {}
        callback = self._callbacks[0 if success else 1]
        self._callbacks = (None, None)
        if callback is None:
            self._publish()
        else:
            self._engine.collector.call(lambda: self._call_back(callback))

    def _call_back(self, callback: Callable[[Any], object]) -> None:
        try:
            callback(self._value)
        except BaseException as error:
            unraisable(callback, error)
        finally:
            self._publish()

    def _publish(self) -> None:
        with self._waiting.changed:
            self._over = True
            hooks, self._hooks = self._hooks, []
            pool, self._pool = self._pool, None
            self._waiting.changed.notify_all()
        if pool is not None:
            pool._forget(self)
        for hook in hooks:
            self._engine.collector.call(lambda hook=hook: hook(self))  # type: ignore[misc]

    def _abort(self, error: BaseException) -> None:
        """Fail whatever is not done yet."""
        futures = list(self._futures.values())
        self._finish(False, error)
        if futures and self._engine.alive:
            self._engine.client.cancel(futures, force=True)

    # ---- the caller's side

    def wait(self, timeout: float | None = None) -> None:
        """Wait at most *timeout* seconds (None: for ever). Raises ServerDiedError if the scheduler dies meanwhile."""
        self._waiting.until(lambda: self._over, None if timeout is None else check_timeout(timeout))

    def cancel(self, *, running: bool = True) -> bool:
        """Cancel the call: what Dask has not run yet is dropped. What runs already cannot be interrupted: it goes on,
        and its result is dropped. Returns False if the call was complete, or (with ``running=False``) has begun.
        """
        if self._sealed or (not running and self._engine.begun(list(self._futures.values()))):
            return False
        self._abort(CancelledError("the call was cancelled"))
        return True

    def cancelled(self) -> bool:
        """Return whether the call was cancelled."""
        return self._over and not self._success and isinstance(self._value, CancelledError)

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call ``function(self)`` once the call is complete, in the pool's own thread; what it raises is reported."""
        with self._waiting.changed:
            if not self._over:
                self._hooks.append(function)
                return
        self._engine.collector.call(lambda: function(self))


class AsyncResult(Job):
    """The result of one call, or of all tasks of a map, on the cluster.

    It can be waited for (``get``, ``wait``), awaited in a coroutine, and seen as a ``concurrent.futures.Future``.
    """

    def __init__(
        self,
        pool: Pool,
        length: int | None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> None:
        super().__init__(pool, callback, error_callback)
        self._single = length is None
        self._results: list[Any] = [None] * (1 if length is None else length)
        self._left = len(self._results)
        self._error: BaseException | None = None
        self._progress = progress
        if not self._left:
            self._report(0, 0)
            self._finish(True, [])

    def _report(self, done: int, total: int) -> None:
        if self._progress is not None:
            try:
                self._progress(done, total)
            except BaseException as error:
                unraisable(self._progress, error)

    def _put(self, first: int, outcomes: list[tuple[bool, Any]]) -> None:
        with self._waiting.changed:
            if self._sealed:
                return
            for index, (success, value) in enumerate(outcomes, first):
                if success:
                    self._results[index] = value
                elif self._error is None:
                    self._error = value
            self._left -= len(outcomes)
            self._futures.pop(first, None)
            total, left = len(self._results), self._left
        self._report(total - left, total)
        if left:
            return
        if self._error is not None:
            self._finish(False, self._error)
        else:
            self._finish(True, self._results[0] if self._single else self._results)
        self._results, self._error = [], None

    def ready(self) -> bool:
        """Return whether the call has completed."""
        return self._over

    def successful(self) -> bool:
        """Return whether it completed without an exception; NotReadyError if it is not ready."""
        if not self._over:
            raise NotReadyError(f"{self!r} not ready; call wait() first")
        return self._success

    def get(self, timeout: float | None = None) -> Any:
        """Return the result. Raises TimeoutError after *timeout* seconds (None: never), WorkerDiedError,
        ServerDiedError, or what the task raised.
        """
        seconds = None if timeout is None else check_timeout(timeout)
        if not self._waiting.until(lambda: self._over, seconds):
            raise TimeoutError(f"no result within {timeout} s; the task goes on, get() may be called again")
        if self._success:
            return self._value
        try:
            raise self._value
        finally:
            self = None  # type: ignore[assignment] # the traceback must not keep the result alive in a cycle

    def future(self) -> Future[Any]:
        """Return a ``concurrent.futures.Future`` of this result; cancelling it cancels the call."""
        return future_of(self)

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio

        async def result() -> Any:
            return await asyncio.wrap_future(self.future())

        return result().__await__()

    def __repr__(self) -> str:
        state = "pending" if not self._over else "successful" if self._success else "failed"
        return f"<{type(self).__name__} of job {self._job}: {state}>"
