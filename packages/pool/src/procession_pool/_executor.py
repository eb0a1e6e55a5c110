"""A ``concurrent.futures.Executor`` on a pool."""

from __future__ import annotations

from procession_core import TimeoutError as Late

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future
    from typing import Any

    from ._pool import Pool
    from ._results import AsyncResult


def _executor_class() -> type[Executor]:
    # concurrent.futures costs 10 ms to import: only for those who ask for an executor.
    from concurrent.futures import Executor

    return Executor


def _make_class() -> type[Any]:
    from concurrent.futures import Future

    class PoolExecutor(_executor_class()):  # type: ignore[misc]
        """Runs calls in a pool."""

        def __init__(self, pool: Pool) -> None:
            self._pool = pool
            self._shut = False
            self._pending: set[AsyncResult] = set()

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            """Call ``fn(*args, **kwargs)`` in a worker; return its Future. Raises RuntimeError after shutdown."""
            if self._shut:
                raise RuntimeError(
                    "cannot schedule new futures after shutdown; ask the pool for another executor()"
                )
            result = self._pool.apply_async(fn, args, kwargs)
            self._pending.add(result)
            future = _BoundFuture(result)
            pending = self._pending

            def done(over: Any) -> None:
                pending.discard(over)
                future.take(over)

            result.add_done_callback(done)
            return future

        def map(
            self,
            fn: Callable[..., Any],
            *iterables: Iterable[Any],
            timeout: float | None = None,
            chunksize: int = 1,
            buffersize: int | None = None,
        ) -> Iterator[Any]:
            """As ``map(fn, *iterables)``, in the workers. Raises ValueError for a chunksize below 1,
            TimeoutError if a result is not there *timeout* seconds after the call.
            """
            if self._shut:
                raise RuntimeError(
                    "cannot schedule new futures after shutdown; ask the pool for another executor()"
                )
            if chunksize < 1:
                raise ValueError(f"chunksize must be >= 1. It is {chunksize!r}.")
            import time

            deadline = None if timeout is None else time.monotonic() + timeout
            inner = self._pool._istarmap(fn, zip(*iterables, strict=False), chunksize, buffersize)

            def results() -> Iterator[Any]:
                # No name for a result: it would keep it alive until the next is there.
                try:
                    while True:
                        if deadline is None:
                            yield next(inner)
                        else:
                            yield inner.next(max(0.0, deadline - time.monotonic()))
                except StopIteration:
                    return
                except Late:
                    raise TimeoutError(
                        f"results were not there within {timeout} s; the calls that had not begun were dropped"
                    ) from None
                finally:
                    inner._engine.abandon(inner)

            return results()

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            """Take no more calls; wait for those that run, cancel those that do not if asked."""
            self._shut = True
            for result in list(self._pending):
                if cancel_futures:
                    result.cancel(running=False)
            if wait:
                for result in list(self._pending):
                    result.wait()

    class _BoundFuture(Future):  # type: ignore[type-arg]
        """A Future whose cancel() cancels the call in the pool, as long as it has not begun."""

        def __init__(self, result: AsyncResult) -> None:
            super().__init__()
            self._result_of = result

        def cancel(self) -> bool:
            if self._result_of.cancelled() or self._result_of.cancel(running=False):
                return super().cancel() or self.cancelled()
            return False

        def take(self, result: AsyncResult) -> None:
            if result.cancelled():
                super().cancel()
            if not self.set_running_or_notify_cancel():
                return
            if result._success:
                self.set_result(result._value)
            else:
                self.set_exception(result._value)

    return PoolExecutor


_made: type[Any] | None = None


def PoolExecutor(pool: Pool) -> Any:
    """Return an executor on *pool*."""
    global _made
    if _made is None:
        _made = _make_class()
    return _made(pool)
