"""Pool: the documented methods, as tasks of a Dask cluster."""

from __future__ import annotations

import itertools
import operator
import pickle
import uuid
from functools import partial

from procession_core import NotSupportedError, WorkerDiedError
from procession_pool import CancelledError, SoftTimeoutError
from procession_pool._errors import PoolPicklingError
from procession_pool._executor import PoolExecutor
from procession_pool._policy import Policy, check_names
from procession_pool._pool import as_int
from procession_pool._progress import reporter
from procession_pool._task_context import watched
from procession_pool._worker import adopt_state

from ._iterators import IMapIterator
from ._results import AsyncResult
from ._submission import Call, Submission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Executor
    from types import TracebackType
    from typing import Any, Self

    from ._engine import Engine
    from ._results import Job

_LARGEST_CHUNK = 2048
"""With chunksize=None no chunk is larger, as on the local pool: small ones balance better."""

_HELPERS = pickle.dumps((adopt_state, watched))
"""What makes worker_state() and log_tasks() work on a worker that has procession: as bytes, since it need not."""

_ELSEWHERE = {
    "memory_limit": "give the workers one: dask worker --memory-limit",
    "on_exit": "use a WorkerPlugin of distributed, whose teardown() runs at a worker's end",
    "idle_timeout": "let Dask scale the cluster: cluster.adapt()",
    "resize": "scale the cluster: cluster.scale(n)",
    "init_values": "return what you need from a task",
    "exit_values": "return what you need from a task",
}


class Pool:
    """A pool whose workers are the cluster's.

    Args:
        processes: for how many workers the chunks of a call are made; default: as many as the cluster has threads.
            The cluster's scheduler decides how many run at a time.
        initializer: called with *initargs* once in each worker process, before its first task of this pool.
        maxtasksperchild: accepted and ignored: the cluster's workers belong to the cluster.
        timeout, soft_timeout, retries, backoff, retry_on: defaults of the calls, see ``apply_async()``.

    Options of the local pool that Dask has in its own way (memory_limit, on_exit, idle_timeout, daemon=False) raise
    NotSupportedError, which names that way.
    """

    def __init__(
        self,
        engine: Engine,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        *,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retries: int = 0,
        backoff: float = 0.0,
        retry_on: Any = None,
        daemon: bool = True,
        **others: Any,
    ) -> None:
        if processes is not None:
            processes = as_int(processes, "the number of processes must be an int")
        if processes is not None and processes < 1:
            raise ValueError(f"Number of processes must be at least 1, not {processes}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be a callable, not {initializer!r}")
        for name, value in others.items():
            if name not in _ELSEWHERE:
                raise TypeError(f"Pool() got an unexpected keyword argument {name!r}")
            if value is not None:
                _refuse(name)
        if not daemon:
            raise NotSupportedError(
                "daemon=False cannot be had on a cluster's pool; set distributed.worker.daemon to False in Dask's "
                "configuration, then its workers may have children"
            )
        self._defaults = {"timeout": timeout, "soft_timeout": soft_timeout, "retries": retries, "backoff": backoff,
                          "retry_on": retry_on}  # fmt: skip
        self._limits(self._defaults)
        self._engine = engine
        self._processes = processes or engine.threads()
        self._id = f"procession-{uuid.uuid4().hex}"
        self._initializer = (initializer, tuple(initargs))
        self._state = "RUN"
        self._numbers = itertools.count()
        self._jobs: dict[int, Job] = {}
        self._done = 0

    # ---- jobs

    def _check(self) -> None:
        if self._state != "RUN":
            raise ValueError("Pool not running: it was closed or terminated, as the end of a with block does")
        self._engine.check()

    def _add(self, job: Job) -> int:
        number = next(self._numbers)
        self._jobs[number] = job
        return number

    def _forget(self, job: Job) -> None:
        if self._jobs.pop(job._job, None) is not None:
            self._done += 1

    @property
    def _cache(self) -> dict[int, Job]:
        return self._jobs

    def _limits(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        check_names(options)
        merged = {**self._defaults, **{name: value for name, value in options.items() if value is not None}}
        policy = Policy(**{name: value for name, value in merged.items() if value is not None})
        if policy.timeout is policy.soft_timeout is None and not policy.retries:
            return None
        limits = {name: getattr(policy, name) for name in Policy.__slots__}
        # A worker needs no procession: classes of ours do not go there by reference.
        limits["retry_on"] = tuple(kind for kind in policy.retry_on if kind is not WorkerDiedError)
        limits["soft_error"] = pickle.dumps(SoftTimeoutError)
        return limits

    def _call(self, function: Callable[..., Any], mode: str, options: Mapping[str, Any] | None) -> Call:
        limits = self._limits(options or {})
        return Call(self._engine, (self._id, _HELPERS, *self._initializer), function, mode, limits)

    # ---- one call

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
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retries: int | None = None,
        backoff: float | None = None,
        retry_on: Any = None,
    ) -> AsyncResult:
        """Start the call and return an AsyncResult.

        After *timeout* seconds of running the call fails with TaskTimeoutError and its thread on the worker is asked
        to end, which it does when it next runs Python code (the worker itself goes on: it may run tasks of others);
        after *soft_timeout* seconds SoftTimeoutError is raised inside the task. A call that raises one of *retry_on*
        is run again on its worker up to *retries* times, *backoff* seconds later and twice as much each time. A call
        whose worker dies is run again by Dask itself (``distributed.scheduler.allowed-failures`` times, 3 by
        default), then fails with WorkerDiedError.
        """
        self._check()
        options = {"timeout": timeout, "soft_timeout": soft_timeout, "retries": retries, "backoff": backoff,
                   "retry_on": retry_on}  # fmt: skip
        call = self._call(func, "call", options)
        result = AsyncResult(self, None, callback, error_callback)
        self._submit(result, call, [(tuple(args), dict(kwds))], 1)
        return result

    def _submit(self, result: AsyncResult, call: Call, items: list[Any], chunksize: int) -> None:
        starts = range(0, len(items), chunksize)
        parts: list[Submission] = []
        for first in starts:
            chunk = items[first : first + chunksize]
            done = partial(_deliver, result, first)
            try:
                parts.append(Submission(call, chunk, first, done, call.mode != "call"))
            except Exception as error:
                result._put(first, [(False, error)] * len(chunk))
        # Where Dask spreads the tasks of one group over its workers, the function travels once for all of them;
        # of a few tasks each brings it along, or all would go to the worker that has it.
        plain = [part for part in parts if not part.big]
        if len(plain) > 2 * max(self._processes, self._engine.threads()):
            runners = [call.runner()] * len(plain)
            futures = self._engine.client.map(operator.call, runners, [p.data for p in plain], pure=False)
            for part, future in zip(plain, futures, strict=True):
                part.watch(future)
        else:
            for part in plain:
                part.submit()
        for part in parts:
            if part.big:
                part.submit()
        with result._waiting.changed:
            if not result._sealed:
                result._futures.update((part.first, part.future) for part in parts if not part.over)

    # ---- maps

    def _map(
        self,
        func: Callable[..., Any],
        mode: str,
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        progress: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> AsyncResult:
        self._check()
        call = self._call(func, mode, options)
        items = list(iterable)
        if chunksize is None:
            chunksize = min(-(-len(items) // (self._processes * 4)), _LARGEST_CHUNK)
        chunksize = as_int(chunksize, "chunksize must be an int or None")
        report = reporter(progress, len(items)) if progress else None
        result = AsyncResult(self, len(items), callback, error_callback, report)
        self._submit(result, call, items, max(1, chunksize))
        return result

    def map(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        *,
        progress: Any = None,
    ) -> Any:
        """Call *func* for each item and return the list of results in order.

        With *progress* true a bar of tqdm is shown; a callable is called with (done, total).
        """
        return self._map(func, "one", iterable, chunksize, None, None, progress).get()

    def starmap(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        progress: Any = None,
    ) -> Any:
        """Like ``map()``; each item is a tuple of arguments."""
        return self._map(func, "star", iterable, chunksize, None, None, progress).get()

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: Any = None,
        **options: Any,
    ) -> AsyncResult:
        """Start a ``map()`` and return an AsyncResult. For *options* see ``apply_async()``."""
        return self._map(func, "one", iterable, chunksize, callback, error_callback, progress, options)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: Any = None,
        **options: Any,
    ) -> AsyncResult:
        """Start a ``starmap()`` and return an AsyncResult. For *options* see ``apply_async()``."""
        return self._map(func, "star", iterable, chunksize, callback, error_callback, progress, options)

    def _imap(
        self,
        func: Callable[..., Any],
        mode: str,
        iterable: Iterable[Any],
        chunksize: int,
        ordered: bool,
        buffersize: int | None,
        progress: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> IMapIterator:
        self._check()
        chunksize = as_int(chunksize, "chunksize must be an int")
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError(f"buffersize must be an integer or None, not {buffersize!r}")
        if buffersize is not None and buffersize < 1:
            raise ValueError(f"buffersize must be None or > 0, not {buffersize}")
        call = self._call(func, mode, options)
        total = iterable.__len__() if hasattr(iterable, "__len__") else None
        report = reporter(progress, total) if progress else None

        def submit(chunk: list[Any], first: int, done: Callable[..., object]) -> Any:
            part = Submission(call, chunk, first, done, True)
            part.submit()
            return part.future

        return IMapIterator(self, iter(iterable), submit, chunksize, ordered, buffersize, report, total)

    def imap(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int = 1,
        buffersize: int | None = None,
        *,
        progress: Any = None,
        **options: Any,
    ) -> IMapIterator:
        """Return an iterator over the results in order; the input is read as the workers need it.

        With *chunksize* 1 quick tasks are sent in batches that grow and shrink with the time they take. With
        *buffersize* at most so many chunks are read ahead of what has been taken out. For *options* see
        ``apply_async()``.
        """
        return self._imap(func, "one", iterable, chunksize, True, buffersize, progress, options)

    def imap_unordered(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int = 1,
        buffersize: int | None = None,
        *,
        progress: Any = None,
        **options: Any,
    ) -> IMapIterator:
        """Like ``imap()``, in the order in which results arrive."""
        return self._imap(func, "one", iterable, chunksize, False, buffersize, progress, options)

    def _istarmap(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int, buffersize: int | None
    ) -> IMapIterator:
        return self._imap(func, "star", iterable, chunksize, True, buffersize)

    # ---- the end

    def close(self) -> None:
        """Take no more tasks."""
        if self._state == "RUN":
            self._state = "CLOSE"
            for job in list(self._jobs.values()):
                if isinstance(job, IMapIterator):
                    job._lift()

    def terminate(self) -> None:
        """Take no more tasks, drop those that have not run; what is not complete fails with CancelledError."""
        self._state = "TERMINATE"
        for job in list(self._jobs.values()):
            job._abort(CancelledError("the pool was terminated"))

    def join(self) -> None:
        """Wait for the tasks that were submitted; close() or terminate() must come first."""
        if self._state == "RUN":
            raise ValueError("Pool is still running: call close() or terminate() before join()")
        for job in list(self._jobs.values()):
            job.wait()

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.terminate()

    def __reduce__(self) -> Any:
        raise PoolPicklingError(
            "pool objects cannot be passed between processes or pickled; make a pool in the process that uses it"
        )

    # ---- looking at it

    def stats(self) -> dict[str, Any]:
        """Return figures: ``calls`` complete so far, ``pending`` ones, and ``workers``: name, threads and bytes of
        memory of each. Dask's dashboard shows what they run.
        """
        workers = self._engine.client.scheduler_info(n_workers=-1)["workers"]
        return {
            "calls": self._done,
            "pending": len(self._jobs),
            "workers": [
                {
                    "name": w["name"],
                    "address": address,
                    "threads": w["nthreads"],
                    "memory": w["metrics"]["memory"],
                }
                for address, w in workers.items()
            ],
        }

    def executor(self) -> Executor:
        """Return a ``concurrent.futures.Executor`` that runs its calls in this pool; its ``shutdown()`` leaves the
        pool open.
        """
        return PoolExecutor(self)  # type: ignore[arg-type,no-any-return]

    def resize(self, processes: int) -> None:
        """Raise NotSupportedError: Dask scales its cluster itself."""
        _refuse("resize")

    def init_values(self) -> list[Any]:
        """Raise NotSupportedError: what initializers return stays on the workers."""
        _refuse("init_values")
        return []

    def exit_values(self) -> list[Any]:
        """Raise NotSupportedError: the cluster's workers do not end with the pool."""
        _refuse("exit_values")
        return []

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} pool_size={self._processes}>"


def _deliver(result: AsyncResult, first: int, seconds: float, outcomes: list[tuple[bool, Any]]) -> None:
    result._put(first, outcomes)


def _refuse(name: str) -> None:
    raise NotSupportedError(f"{name} cannot be had on a cluster's pool; {_ELSEWHERE[name]}")
