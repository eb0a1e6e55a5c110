"""AsyncResult and MapResult: what the asynchronous methods of a pool return."""

from __future__ import annotations

from procession_core import TimeoutError, check_timeout  # noqa: A004 - the documented name

from ._errors import CancelledError, NotReadyError, safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future
    from typing import Any

    from ._engine import Engine
    from ._functions import Function
    from ._policy import Policy


class Job:
    """One call of a pool method, as the engine sees it.

    The engine delivers results to ``_deliver()`` and ``_fail()``; both are called with its lock held, and
    ``_finish()`` is called once, by whoever delivers the last part.
    """

    __slots__ = (
        "__weakref__",
        "_callback",
        "_engine",
        "_error_callback",
        "_function",
        "_hooks",
        "_job",
        "_over",
        "_policy",
        "_pool",
        "_progress",
        "_sealed",
        "_success",
        "_value",
    )

    _mode = 0

    def __init__(
        self,
        engine: Engine,
        pool: object,
        function: Function | None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._engine = engine
        # The pool must not be collected, which would end it, while somebody waits for a result of it.
        self._pool: object | None = pool
        self._function = function
        self._callback = callback
        self._error_callback = error_callback
        self._policy = policy
        self._hooks: list[Callable[[Job], object]] | None = None
        self._progress: Callable[[int, int | None], object] | None = None
        self._sealed = False  # the outcome is known
        self._over = False  # and everybody may see it, the callback having run
        self._success = False
        self._value: Any = None
        self._job = engine.next_job()

    def _deliver(self, first: int, values: list[Any]) -> None:
        raise TypeError(f"{type(self).__name__} takes no results")

    def _fail(self, index: int, error: BaseException) -> None:
        raise TypeError(f"{type(self).__name__} takes no results")

    def _describe(self, index: int) -> str:
        """Say which task the one with this index is, for error messages."""
        name = self._function.name if self._function is not None else "?"
        return f"{name} (task {index} of job {self._job})"

    def _abort(self, error: BaseException) -> None:
        """Fail whatever is not done yet."""
        if not self._sealed:
            self._finish(False, error)

    def _finish(self, success: bool, value: Any) -> None:
        self._success = success
        self._value = value
        self._sealed = True
        if self._callback is None and self._error_callback is None and self._progress is None:
            self._publish()
        else:
            self._engine.call_back(self)

    def _publish(self) -> None:
        self._over = True
        self._pool = None
        function, self._function = self._function, None
        if function is not None and function.transient:
            self._engine.forget(function)
        self._engine.job_over(self)


class AsyncResult(Job):
    """The result of ``apply_async()`` (and base of what ``map_async()`` returns).

    It can be waited for (``get``, ``wait``), awaited in a coroutine, and seen as a
    ``concurrent.futures.Future`` (``future``).
    """

    __slots__ = ("_arg", "_attempt", "_kind", "_not_before")
    __class_getitem__: Any = classmethod(type(list[int]))

    _arg: Any
    _kind: int
    _attempt: int
    _items: list[Any] | None = None

    def ready(self) -> bool:
        """Return whether the call has completed. Never blocks for long."""
        if not self._over:
            self._engine.pump()
        return self._over

    def successful(self) -> bool:
        """Return whether the call completed without raising an exception.

        Raises NotReadyError, a ValueError, if the result is not ready.
        """
        if not self.ready():
            raise NotReadyError(f"{self!r} not ready; call wait() first")
        return self._success

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the result is available, at most *timeout* seconds (None: for ever)."""
        if not self._over:
            self._engine.wait_for(self, check_timeout(timeout))

    def get(self, timeout: float | None = None) -> Any:
        """Return the result when it arrives; waits at most *timeout* seconds (None: for ever).

        Raises:
            procession.TimeoutError: it did not arrive within *timeout* seconds.
            WorkerDiedError: the worker died while it ran the task.
            Exception: whatever the call raised, with the worker's traceback as ``__cause__``.
        """
        if not self._over:
            self._engine.wait_for(self, None if timeout is None else check_timeout(timeout))
            if not self._over:
                raise TimeoutError(
                    f"no result within {timeout} s; the task goes on, get() may be called again"
                )
        if self._success:
            return self._value
        try:
            raise self._value
        finally:
            self = None  # type: ignore[assignment] # the traceback must not keep the result alive in a cycle

    def cancel(self, *, running: bool = True) -> bool:
        """Cancel the call: tasks not yet begun are dropped; with *running*, a worker that runs one is
        replaced. Returns False if it was already complete, or (with ``running=False``) has begun.
        """
        return self._engine.cancel(self, running)

    def cancelled(self) -> bool:
        """Return whether the call was cancelled."""
        return self._over and isinstance(self._value, CancelledError) and not self._success

    def add_done_callback(self, function: Callable[[AsyncResult], object]) -> None:
        """Call ``function(self)`` once the call is complete: in the pool's own thread, or at once if it is.

        What it raises is logged and else ignored.
        """
        self._engine.add_hook(self, function)  # type: ignore[arg-type]

    def future(self) -> Future[Any]:
        """Return a ``concurrent.futures.Future`` of this result; cancelling it cancels the call."""
        return future_of(self)

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio

        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def done(result: AsyncResult) -> None:
            try:
                loop.call_soon_threadsafe(wake)
            except RuntimeError:  # the loop is closed: nobody waits any more
                pass

        self.add_done_callback(done)
        try:
            yield from waiter
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self.get()

    def __repr__(self) -> str:
        state = "pending" if not self._over else "successful" if self._success else "failed"
        return f"<{type(self).__name__} of job {self._job}: {state}>"

    # ---- the engine's side

    def _deliver(self, first: int, values: list[Any]) -> None:
        if not self._sealed:
            self._finish(True, values[0])

    def _fail(self, index: int, error: BaseException) -> None:
        if not self._sealed:
            self._finish(False, error)

    def _plain(self) -> bool:
        """Whether nobody is to be told when it is over."""
        return self._callback is None and self._error_callback is None and self._hooks is None

    def _describe(self, index: int) -> str:
        name = self._function.name if self._function is not None else "?"
        return f"{name}{_short_arguments(self._kind, self._arg)}"

    def _finish(self, success: bool, value: Any) -> None:
        self._arg = None
        super()._finish(success, value)


ApplyResult = AsyncResult


class MapResult(AsyncResult):
    """The result of ``map_async()`` and ``starmap_async()``: a list, complete when every task is."""

    __slots__ = ("_chunksize", "_items", "_left", "_results", "_cursor", "_failed")  # noqa: RUF023

    def __init__(
        self,
        engine: Engine,
        pool: object,
        function: Function | None,
        items: list[Any],
        chunksize: int,
        kind: int,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(engine, pool, function, callback, error_callback, policy)
        self._arg = None
        self._kind = kind
        self._items = items
        self._chunksize = chunksize
        self._cursor = 0
        self._left = -(-len(items) // chunksize)
        self._results: list[Any] = [None] * len(items)
        self._failed: BaseException | None = None

    def _take(self, most: int) -> tuple[list[Any], int, int]:
        """Return (list, start, stop) of the next tasks to send and move on."""
        start = self._cursor
        size = self._chunksize
        items = self._items
        if items is None:
            return [], 0, 0
        if size == 1:
            stop = min(start + most, len(items))
            self._cursor = stop
            return items, start, stop
        total = -(-len(items) // size)
        stop = min(start + most, total)
        self._cursor = stop
        chunks = [items[i * size : (i + 1) * size] for i in range(start, stop)]
        return chunks, 0, stop - start

    def _exhausted(self) -> bool:
        items = self._items
        return items is None or self._cursor * self._chunksize >= len(items)

    def _deliver(self, first: int, values: list[Any]) -> None:
        if self._sealed:
            return
        size = self._chunksize
        if size == 1:
            self._results[first : first + len(values)] = values
        else:
            at = first * size
            for chunk in values:
                self._results[at : at + len(chunk)] = chunk
                at += size
        self._left -= len(values)
        if self._progress is not None:
            self._report()
        if not self._left:
            self._complete()

    def _fail(self, index: int, error: BaseException) -> None:
        if self._sealed:
            return
        if self._failed is None:
            self._failed = error
        self._left -= 1
        if self._progress is not None:
            self._report()
        if not self._left:
            self._complete()

    def _report(self) -> None:
        total = len(self._results)
        done = total - self._left * self._chunksize if self._left else total
        self._engine.report(self._progress, max(0, done), total)

    def _complete(self) -> None:
        if self._failed is not None:
            self._finish(False, self._failed)
        else:
            self._finish(True, self._results)

    def _finish(self, success: bool, value: Any) -> None:
        self._items = None
        self._results = []
        self._failed = None
        super()._finish(success, value)

    def _describe(self, index: int) -> str:
        name = self._function.name if self._function is not None else "?"
        size = self._chunksize
        items = self._items
        if items is None:
            return name
        if size == 1:
            return f"{name}{_short_arguments(self._kind, items[index])} (item {index})"
        last = min((index + 1) * size, len(items)) - 1
        return f"{name} on items {index * size} to {last} (one chunk)"


def _short_arguments(kind: int, arg: Any) -> str:
    # kind: see CALL_* in _functions
    if kind == 2:
        args, kwargs = arg
        parts = [_short(a) for a in args] + [f"{k}={_short(v)}" for k, v in kwargs.items()]
        return f"({', '.join(parts)})"
    if kind == 1:
        try:
            return f"({', '.join(_short(a) for a in arg)})"
        except Exception:
            return "(*?)"
    return f"({_short(arg)})"


def _short(obj: object) -> str:
    text = safe_repr(obj)
    return text if len(text) <= 60 else f"{text[:57]}..."


def future_of(result: Any) -> Future[Any]:
    """Return a future of *result*, which has what AsyncResult has."""
    from concurrent.futures import Future

    future: Future[Any] = Future()

    def done(result: Any) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if result._success:
            future.set_result(result._value)
        else:
            future.set_exception(result._value)

    def cancel(future: Future[Any]) -> None:
        if future.cancelled():
            result.cancel()

    future.add_done_callback(cancel)
    result.add_done_callback(done)
    return future
