"""Pool: the documented methods, as tasks of a Dask cluster."""

from __future__ import annotations

import uuid
from weakref import WeakSet

from ._remote import run_chunk
from ._results import AsyncResult, IMapIterator, rebuild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any

    from ._engine import Engine

_BIG = 1 << 20
"""Arguments of this many bytes or more are sent to the cluster once, ahead of the tasks that use them."""


class _Chunk:
    """Items of one chunk, with the big arguments taken out and sent ahead, each object once however many
    tasks use it.
    """

    def __init__(self, known: dict[int, tuple[Any, Any]], scatter: Callable[[Any], Any]) -> None:
        self.known = known
        self.scatter = scatter
        self.places: list[tuple[int, Any]] = []
        self.big: list[Any] = []

    def _take(self, index: int, key: Any, value: Any) -> Any:
        size = getattr(value, "nbytes", None)
        if size is None and isinstance(value, bytes | bytearray):
            size = len(value)
        if not isinstance(size, int) or size < _BIG:
            return value
        if id(value) not in self.known:
            # The object is kept beside its future, or its id could be given to another one.
            self.known[id(value)] = (value, self.scatter(value))
        self.places.append((index, key))
        self.big.append(self.known[id(value)][1])
        return None

    def strip(self, mode: str, items: list[Any]) -> list[Any]:
        """Return the items without their big arguments."""
        if mode == "one":
            return [self._take(i, None, item) for i, item in enumerate(items)]
        if mode == "star":
            return [
                tuple(self._take(i, (None, at), v) for at, v in enumerate(item))
                for i, item in enumerate(items)
            ]
        return [
            (
                tuple(self._take(i, ("args", at), v) for at, v in enumerate(args)),
                {name: self._take(i, ("kwargs", name), v) for name, v in kwargs.items()},
            )
            for i, (args, kwargs) in enumerate(items)
        ]


class Pool:
    """A pool whose workers are the cluster's.

    Args:
        processes: how many tasks are in flight at a time; default: as many as the cluster has threads.
        initializer: called with *initargs* once in each worker process, before its first task of this pool.
        maxtasksperchild: accepted and ignored: the cluster's workers belong to the cluster.
        retries: how often Dask runs a task again that failed or whose worker died.
    """

    def __init__(
        self,
        engine: Engine,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        retries: int = 0,
    ) -> None:
        if processes is not None and processes < 1:
            raise ValueError("Number of processes must be at least 1")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._engine = engine
        self._processes = processes or engine.threads()
        import cloudpickle

        self._pickle = cloudpickle.dumps
        self._start = (f"procession-{uuid.uuid4().hex}", self._pickle((initializer, tuple(initargs))))
        self._retries = retries
        self._state = "RUN"
        # Weak: a result that is not ready is kept alive by the callbacks of its futures.
        self._results: WeakSet[AsyncResult] = WeakSet()

    # ---- calls
    # ---------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._state != "RUN":
            raise ValueError("Pool not running")
        self._engine.check()

    def _track(self, result: AsyncResult) -> AsyncResult:
        self._results.add(result)
        return result

    def _submit(
        self,
        function: Callable[..., Any],
        mode: str,
        items: list[Any],
        done: Callable[[float, list[tuple[bool, Any]]], object],
        retries: int | None = None,
        known: dict[int, tuple[Any, Any]] | None = None,
    ) -> Any:
        task = f"{getattr(function, '__qualname__', function)!s} ({len(items)} tasks)"
        client = self._engine.client
        chunk = _Chunk({} if known is None else known, lambda value: client.scatter(value, hash=False))
        stripped = chunk.strip(mode, items)
        future = client.submit(
            run_chunk,
            *self._start,
            self._pickle((function, stripped, chunk.places)),
            mode,
            *chunk.big,
            pure=False,
            retries=self._retries if retries is None else retries,
        )

        def finished(future: Any) -> None:
            try:
                seconds, outcomes = future.result()
                rebuilt = [rebuild(outcome) for outcome in outcomes]
            except BaseException as error:
                seconds, rebuilt = 0.0, [(False, self._engine.translate(error, task))] * len(items)
            done(seconds, rebuilt)

        future.add_done_callback(finished)
        return future

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> Any:
        """Call ``func(*args, **kwds)`` on the cluster and wait for the result."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        retries: int | None = None,
    ) -> AsyncResult:
        """Start the call and return an AsyncResult."""
        self._check()
        result = self._track(AsyncResult(self._engine, None, callback, error_callback))
        items = [(tuple(args), dict(kwds))]
        result._futures.append(self._submit(func, "call", items, lambda _, out: result._put(0, out), retries))
        return result

    def _map(
        self,
        func: Callable[..., Any],
        mode: str,
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        progress: Callable[[int, int | None], object] | None = None,
        retries: int | None = None,
    ) -> AsyncResult:
        self._check()
        items = list(iterable)
        if chunksize is None:
            chunksize = max(1, -(-len(items) // (self._processes * 4)))
        elif chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize}")
        result = self._track(AsyncResult(self._engine, len(items), callback, error_callback, progress))
        known: dict[int, tuple[Any, Any]] = {}
        for first in range(0, len(items), chunksize):

            def done(seconds: float, outcomes: list[tuple[bool, Any]], first: int = first) -> None:
                result._put(first, outcomes)

            part = items[first : first + chunksize]
            result._futures.append(self._submit(func, mode, part, done, retries, known))
        return result

    def map(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        **options: Any,
    ) -> Any:
        """Call *func* for each item and return the list of results in order."""
        return self._map(func, "one", iterable, chunksize, None, None, **options).get()

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        **options: Any,
    ) -> Any:
        """Like ``map()``; each item is a tuple of arguments."""
        return self._map(func, "star", iterable, chunksize, None, None, **options).get()

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        **options: Any,
    ) -> AsyncResult:
        """Start a ``map()`` and return an AsyncResult."""
        return self._map(func, "one", iterable, chunksize, callback, error_callback, **options)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        **options: Any,
    ) -> AsyncResult:
        """Start a ``starmap()`` and return an AsyncResult."""
        return self._map(func, "star", iterable, chunksize, callback, error_callback, **options)

    def _imap(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int,
        ordered: bool,
        buffersize: int | None,
    ) -> IMapIterator:
        self._check()
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        if buffersize is not None and buffersize < 1:
            raise ValueError(f"buffersize must be 1 or more, or None, not {buffersize}")
        window = self._processes * 3 if buffersize is None else max(1, buffersize // chunksize)

        def submit(chunk: list[Any], done: Callable[..., object]) -> None:
            self._submit(func, "one", chunk, done)

        return IMapIterator(self._engine, iter(iterable), submit, chunksize, ordered, window)

    def imap(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
    ) -> IMapIterator:
        """Return an iterator over the results in order; the input is read as results are taken."""
        return self._imap(func, iterable, chunksize, True, buffersize)

    def imap_unordered(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int = 1,
        *,
        buffersize: int | None = None,
    ) -> IMapIterator:
        """Like ``imap()``, in the order in which results arrive."""
        return self._imap(func, iterable, chunksize, False, buffersize)

    # ---- the end
    # -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more tasks."""
        if self._state == "RUN":
            self._state = "CLOSE"

    def terminate(self) -> None:
        """Take no more tasks and cancel those that have not run."""
        self._state = "TERMINATE"
        for result in list(self._results):
            result.cancel()

    def join(self) -> None:
        """Wait for the tasks that were submitted; close() or terminate() must come first."""
        if self._state == "RUN":
            raise ValueError("Pool is still running")
        for result in list(self._results):
            result.wait()

    def __enter__(self) -> Pool:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.terminate()

    def __reduce__(self) -> Any:
        raise TypeError("pool objects cannot be passed between processes or pickled")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self._engine.client!r} state={self._state}>"
