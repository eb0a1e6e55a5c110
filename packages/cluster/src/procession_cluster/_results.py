"""AsyncResult and the iterators of a cluster's pool."""

from __future__ import annotations

import threading
import time
from collections import deque

from procession_core import TimeoutError  # noqa: A004 - the documented name
from procession_pool import BrokenPoolError, CancelledError, NotReadyError, RemoteError, RemoteTraceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Any

    from ._engine import Engine

_LOOK = 0.5
"""Seconds between two looks at whether the scheduler is still there, while waiting for something it
should send.
"""


def rebuild(outcome: tuple[Any, ...]) -> tuple[bool, Any]:
    """Return (success, value or exception) from what a worker sent."""
    if outcome[0]:
        return True, outcome[1]
    _, error, text = outcome
    if isinstance(error, tuple):
        error = RemoteError(error[0], error[1], text, error[2])
    error.__cause__ = RemoteTraceback(f'\n"""\n{text}"""')
    if outcome[0] is None:
        broken = BrokenPoolError(f"the pool's initializer raised {type(error).__name__}: {error}")
        broken.__cause__ = error
        return False, broken
    return False, error


class Waiting:
    """A condition that also notices the scheduler's death."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.changed = threading.Condition()

    def until(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until ready() (called with the lock held); False after *timeout* seconds. Raises
        ServerDiedError.
        """
        deadline = None if timeout is None else time.monotonic() + max(0.0, timeout)
        with self.changed:
            while not ready():
                left = _LOOK if deadline is None else min(_LOOK, deadline - time.monotonic())
                if left <= 0:
                    return False
                if not self.changed.wait(left) and not ready():
                    self.engine.check()
            return True


class AsyncResult:
    """The result of one call, or of all tasks of a map, on the cluster."""

    def __init__(
        self,
        engine: Engine,
        length: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> None:
        self._waiting = Waiting(engine)
        self._single = length is None
        self._values: list[Any] = [None] * (length or (1 if length is None else 0))
        self._left = len(self._values)
        self._error: BaseException | None = None
        self._over = False
        self._callbacks = (callback, error_callback)
        self._progress = progress
        self._futures: list[Any] = []
        if not self._left:
            self._end()

    def _put(self, first: int, outcomes: list[tuple[bool, Any]]) -> None:
        with self._waiting.changed:
            if self._over:
                return
            for index, (success, value) in enumerate(outcomes, first):
                if success:
                    self._values[index] = value
                elif self._error is None:
                    self._error = value
            self._left -= len(outcomes)
            done = self._left <= 0 or self._error is not None
            so_far = len(self._values) - self._left
        if self._progress is not None:
            self._progress(so_far, len(self._values))
        if done:
            self._end()

    def _end(self) -> None:
        with self._waiting.changed:
            if self._over:
                return
            self._over = True
            self._futures = []
        callback, error_callback = self._callbacks
        try:
            if self._error is None and callback is not None:
                callback(self._values[0] if self._single else self._values)
            elif self._error is not None and error_callback is not None:
                error_callback(self._error)
        finally:
            with self._waiting.changed:
                self._waiting.changed.notify_all()

    def ready(self) -> bool:
        """Return whether the call has completed."""
        return self._over

    def successful(self) -> bool:
        """Return whether it completed without an exception; NotReadyError if it is not ready."""
        if not self._over:
            raise NotReadyError(f"{self!r} not ready; call wait() first")
        return self._error is None

    def wait(self, timeout: float | None = None) -> None:
        """Wait at most *timeout* seconds (None: for ever). Raises ServerDiedError if the scheduler dies
        meanwhile.
        """
        self._waiting.until(lambda: self._over, timeout)

    def get(self, timeout: float | None = None) -> Any:
        """Return the result. Raises TimeoutError, WorkerDiedError, ServerDiedError, or what the task
        raised.
        """
        if not self._waiting.until(lambda: self._over, timeout):
            raise TimeoutError(f"no result within {timeout} s; the task goes on, get() may be called again")
        if self._error is not None:
            raise self._error
        return self._values[0] if self._single else self._values

    def cancel(self) -> bool:
        """Cancel what has not run yet; False if it was complete."""
        if self._over:
            return False
        futures, self._error = self._futures, CancelledError("the call was cancelled")
        if futures:
            self._waiting.engine.client.cancel(futures, force=True)
        self._end()
        return True

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio

        return asyncio.get_running_loop().run_in_executor(None, self.get).__await__()


class IMapIterator:
    """Results of ``imap()`` and ``imap_unordered()``, read while the input is still being read."""

    def __init__(
        self,
        engine: Engine,
        items: Iterator[Any],
        submit: Callable[..., Any],
        batch: int,
        ordered: bool,
        window: int,
    ) -> None:
        self._waiting = Waiting(engine)
        self._items = items
        self._submit = submit
        self._batch = batch
        self._adaptive = batch == 1
        self._ordered = ordered
        self._window = window
        self._pending: dict[int, Any] = {}
        self._arrived: dict[int, deque[tuple[bool, Any]]] = {}
        self._order: deque[int] = deque()
        self._next = 0
        self._exhausted = False
        self._more()

    def _more(self) -> None:
        while not self._exhausted and len(self._pending) < self._window:
            chunk = []
            failure: BaseException | None = None
            try:
                for _ in range(self._batch):
                    chunk.append(next(self._items))
            except StopIteration:
                self._exhausted = True
            except Exception as error:
                failure = error
                self._exhausted = True
            if chunk:
                number, self._next = self._next, self._next + 1
                with self._waiting.changed:
                    self._order.append(number)
                    self._pending[number] = None
                self._submit(
                    chunk, lambda seconds, outcomes, number=number: self._put(number, seconds, outcomes)
                )
            if failure is not None:
                with self._waiting.changed:
                    self._order.append(self._next)
                    self._arrived[self._next] = deque([(False, failure)])

    def _put(self, number: int, seconds: float, outcomes: list[tuple[bool, Any]]) -> None:
        with self._waiting.changed:
            self._pending.pop(number, None)
            self._arrived[number] = deque(outcomes)
            # Tiny tasks cost less in larger batches; each still has a result of its own.
            if self._adaptive and seconds < 0.02:
                self._batch = min(self._batch * 2, 1024)
            elif self._adaptive and seconds > 0.1:
                self._batch = max(1, self._batch // 2)
            self._waiting.changed.notify_all()

    def _take(self) -> tuple[bool, Any] | None:
        candidates = list(self._order)[:1] if self._ordered else list(self._arrived)
        for number in candidates:
            ready = self._arrived.get(number)
            if ready:
                result = ready.popleft()
                if not ready:
                    del self._arrived[number]
                    self._order.remove(number)
                return result
        return None

    def _has_one(self) -> bool:
        if not self._order:
            return True
        if self._ordered:
            return self._order[0] in self._arrived
        return bool(self._arrived)

    def __iter__(self) -> IMapIterator:
        return self

    def next(self, timeout: float | None = None) -> Any:
        """Return the next result; TimeoutError after *timeout* seconds, StopIteration at the end."""
        self._more()
        if not self._waiting.until(self._has_one, timeout):
            raise TimeoutError(f"no result within {timeout} s; next() may be called again")
        with self._waiting.changed:
            if not self._order:
                raise StopIteration
            result = self._take()
        if result is None:
            raise StopIteration
        success, value = result
        if success:
            return value
        raise value

    __next__ = next
