"""Pools and executors that are not shaped like ``multiprocessing.Pool``, as far as they compare.

Each class here has only those of Pool's methods that its library has itself; a case that asks for
another one is skipped.
"""

from __future__ import annotations

import multiprocessing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bench._measure import Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


class _Partial:
    def __init__(self, processes: int) -> None:
        self.processes = processes

    def __getattr__(self, name: str) -> Any:
        raise Unsupported(f"{type(self).__name__} has nothing comparable to Pool.{name}")

    def _chunksize(self, items: Sequence[Any], chunksize: int | None) -> int:
        """Pool's own default: four chunks a worker."""
        return chunksize or max(1, -(-len(items) // (4 * self.processes)))


class _Result:
    def __init__(self, future: Any) -> None:
        self._future = future

    def get(self, timeout: float | None = None) -> Any:
        return self._future.result(timeout)


class _ExecutorPool(_Partial):
    """Over a ``concurrent.futures`` executor."""

    def __init__(self, processes: int) -> None:
        super().__init__(processes)
        self._executor = self._make(processes)

    def _make(self, processes: int) -> Any:
        from concurrent.futures import ProcessPoolExecutor

        return ProcessPoolExecutor(processes, multiprocessing.get_context("fork"))

    def map(
        self, function: Callable[..., Any], items: Sequence[Any], chunksize: int | None = None
    ) -> list[Any]:
        return list(self._executor.map(function, items, chunksize=self._chunksize(items, chunksize)))

    def imap(self, function: Callable[..., Any], items: Iterable[Any], chunksize: int = 1) -> Iterator[Any]:
        results: Iterator[Any] = self._executor.map(function, items, chunksize=chunksize)
        return results

    def apply_async(self, function: Callable[..., Any], args: tuple[Any, ...]) -> _Result:
        return _Result(self._executor.submit(function, *args))

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...] = ()) -> Any:
        return self._executor.submit(function, *args).result()

    def close(self) -> None:
        """Nothing yet: after shutdown(wait=False) nothing would be left to wait for in join()."""

    def join(self) -> None:
        self._executor.shutdown(wait=True)


class _LokyPool(_ExecutorPool):
    def _make(self, processes: int) -> Any:
        from loky import ProcessPoolExecutor

        return ProcessPoolExecutor(processes)


class _PebblePool(_Partial):
    def __init__(self, processes: int) -> None:
        super().__init__(processes)
        import pebble

        context = multiprocessing.get_context("fork")
        self._pool: Any = pebble.ProcessPool(max_workers=processes, context=context)

    def map(
        self, function: Callable[..., Any], items: Sequence[Any], chunksize: int | None = None
    ) -> list[Any]:
        future = self._pool.map(function, items, chunksize=self._chunksize(items, chunksize))
        return list(future.result())

    def apply_async(self, function: Callable[..., Any], args: tuple[Any, ...]) -> _Result:
        return _Result(self._pool.schedule(function, args=args))

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...] = ()) -> Any:
        return self._pool.schedule(function, args=args).result()

    def close(self) -> None:
        self._pool.close()

    def join(self) -> None:
        self._pool.join()


class _MpirePool(_Partial):
    def __init__(self, processes: int) -> None:
        super().__init__(processes)
        from mpire.pool import WorkerPool

        self._pool: Any = WorkerPool(n_jobs=processes, start_method="fork", keep_alive=True)
        self._unordered = False

    def map(
        self, function: Callable[..., Any], items: Sequence[Any], chunksize: int | None = None
    ) -> list[Any]:
        size = self._chunksize(items, chunksize)
        run: Any = self._pool.map
        return list(run(function, list(items), chunk_size=size, concatenate_numpy_output=False))

    def imap(self, function: Callable[..., Any], items: Iterable[Any], chunksize: int = 1) -> Iterator[Any]:
        results: Iterator[Any] = self._pool.imap(function, items, chunk_size=chunksize)
        return results

    def imap_unordered(
        self, function: Callable[..., Any], items: Iterable[Any], chunksize: int = 1
    ) -> Iterator[Any]:
        if not self._unordered:
            # Workers that were started for an ordered map break on the tasks of an unordered one.
            self._pool.stop_and_join()
            self._unordered = True
        results: Iterator[Any] = self._pool.imap_unordered(function, items, chunk_size=chunksize)
        return results

    def apply_async(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        return self._pool.apply_async(function, args)

    def apply(self, function: Callable[..., Any], args: tuple[Any, ...] = ()) -> Any:
        return self._pool.apply(function, args)

    def close(self) -> None:
        self._pool.stop_and_join()

    def join(self) -> None:
        self._pool.join()


class _JoblibPool(_Partial):
    def __init__(self, processes: int) -> None:
        super().__init__(processes)
        from joblib import Parallel, delayed

        self._delayed = delayed
        self._parallel = Parallel

    def map(
        self, function: Callable[..., Any], items: Sequence[Any], chunksize: int | None = None
    ) -> list[Any]:
        run = self._parallel(n_jobs=self.processes, batch_size=chunksize or "auto")
        return list(run(self._delayed(function)(item) for item in items))

    def close(self) -> None:
        pass

    def join(self) -> None:
        pass


_POOLS = {
    "futures": _ExecutorPool,
    "loky": _LokyPool,
    "pebble": _PebblePool,
    "mpire": _MpirePool,
    "joblib": _JoblibPool,
}


def load(name: str) -> Any:
    """The namespace with the one pool of the library ``name``."""
    return SimpleNamespace(Pool=_POOLS[name], module=name)
