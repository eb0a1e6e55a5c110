"""Pool: a pool of worker processes."""

from __future__ import annotations

import os
from operator import index

from procession_core import Finalize, is_exiting
from procession_process import ForkProcess, ForkServerProcess, SpawnProcess, get_start_method

from ._crew_processes import ProcessCrew
from ._crew_queues import QueueCrew, QueueHolder
from ._engine import CLOSE, RUN, TERMINATE, Engine
from ._errors import ExceptionWithTraceback, PoolPicklingError
from ._executor import PoolExecutor
from ._functions import CALL_ANY, CALL_ONE, CALL_STAR
from ._iterators import IMapIterator, IMapUnorderedIterator
from ._policy import Policy, check_names, check_seconds
from ._progress import watch_imap, watch_map
from ._queue_worker import worker
from ._results import AsyncResult, Job, MapResult
from ._stats import pool_stats
from ._supervisor import SupervisorThread
from ._worker import Setup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Executor
    from types import TracebackType
    from typing import Any, Self, TypeVar

    from ._crew import Crew

    T = TypeVar("T")

INIT = "INIT"

_LARGEST_CHUNK = 2048
"""With chunksize=None no chunk is larger: the documentation lets the pool choose, and small ones balance better."""

_EXIT_PRIORITY = 15

_END_MOST = 10.0
"""Seconds that terminate() waits at most."""


def default_size() -> int:
    """Return the number of workers of a pool that is not told one: the CPUs this process may use."""
    count = getattr(os, "process_cpu_count", os.cpu_count)
    return count() or 1


class Pool:
    """A pool of worker processes that run tasks.

    *processes* is their number (None: the number of CPUs that this process may use). Each worker calls
    ``initializer(*initargs)`` when it starts; if that raises, the pool is broken with that exception. With
    *maxtasksperchild* a worker is replaced after so many tasks. *context* is what offers ``Process``.

    Beyond the documented parameters, all keyword-only: *timeout*, *soft_timeout*, *retries*, *backoff* and
    *retry_on* are the defaults of the calls (see ``apply_async``); *memory_limit* is the number of bytes of
    private data that a worker may use, past which its task gets MemoryError and the worker is
    replaced; *on_exit* is called in a worker that ends in order, and what it returns is in ``exit_values()``;
    after *idle_timeout* seconds without a task all workers but one end, until there are tasks again; *daemon* False
    lets workers have children.

    A worker that dies costs the task that it was running, which fails with WorkerDiedError; it is replaced at
    once.

    Raises ValueError for a number that is too small, TypeError for what is no number, or not callable.
    """

    _wrap_exception = True
    _crew: QueueCrew | None = None
    _inqueue: Any
    _outqueue: Any
    _quick_put: Callable[[Any], object]
    _quick_get: Callable[[], Any]

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Return a new process object of the context."""
        return ctx.Process(*args, **kwargs)

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
        *,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retries: int = 0,
        backoff: float = 0.0,
        retry_on: Any = None,
        memory_limit: int | None = None,
        on_exit: Callable[[], object] | None = None,
        idle_timeout: float | None = None,
        daemon: bool = True,
    ) -> None:
        self._pool_ready = False
        self._state_override: str | None = None
        self._ctx = context if context is not None else default_context()
        if processes is None:
            processes = default_size()
        processes = _checked_size(processes)
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError(f"maxtasksperchild must be a positive int or None, not {maxtasksperchild!r}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be a callable, not {initializer!r}")
        self._policy_options: dict[str, Any] = {"timeout": timeout, "soft_timeout": soft_timeout, "retries": retries,
                                                "backoff": backoff}  # fmt: skip
        if retry_on is not None:
            self._policy_options["retry_on"] = retry_on
        self._policy = self._make_policy({})
        if memory_limit is not None:
            memory_limit = _checked_bytes(memory_limit)
        if on_exit is not None and not callable(on_exit):
            raise TypeError(f"on_exit must be a callable, not {on_exit!r}")
        if idle_timeout is not None:
            check_seconds("idle_timeout", idle_timeout)
        self._initializer = initializer
        self._initargs = tuple(initargs)
        self._maxtasksperchild = maxtasksperchild
        self._memory_limit = memory_limit
        self._on_exit = on_exit
        self._engine = engine = Engine(self._make_crew(processes))
        engine.crew.idle_timeout = idle_timeout
        engine.crew.memory_limit = memory_limit
        engine.crew.daemon = daemon
        try:
            engine.crew.start(engine)
        except BaseException:
            engine.state = TERMINATE
            engine.crew.kill_all(engine)
            engine.crew.dispose()
            raise
        self._thread = SupervisorThread(engine)
        self._thread.start()
        self._terminate = Finalize(
            self, forget_engine, args=(engine, self._thread), exitpriority=_EXIT_PRIORITY
        )
        self._pool_ready = True

    def _make_crew(self, processes: int) -> Crew:
        if type(self)._setup_queues is not Pool._setup_queues:
            self._crew = crew = QueueCrew(processes, None)
            crew.holder = QueueHolder(self)
            return crew
        ctx = self._ctx
        make = type(self).Process
        initializer, initargs = self._initializer, self._initargs
        on_exit, memory_limit, wrap = self._on_exit, self._memory_limit, self._wrap_exception

        def setup(number: int) -> Setup:
            return Setup(initializer, initargs, on_exit, memory_limit, wrap, number)

        lazy = initializer is None and on_exit is None
        return ProcessCrew(processes, lambda **kw: make(ctx, **kw), setup, self._maxtasksperchild, lazy)

    def _make_policy(self, options: Mapping[str, Any]) -> Policy | None:
        check_names(options)
        merged = {**self._policy_options, **{k: v for k, v in options.items() if v is not None}}
        policy = Policy(**merged)
        self._check_policy(policy)
        return policy if policy.special or policy.soft_timeout is not None else None

    def _check_policy(self, policy: Policy) -> None:
        """Refuse what this kind of pool cannot do."""

    def _check_running(self) -> None:
        if self._state != RUN:
            raise ValueError("Pool not running: it was closed or terminated, as the end of a with block does")
        if self._engine.broken is not None:
            raise self._engine.broken_error()

    def _function(self, function: Callable[..., Any], policy: Policy | None) -> Any:
        engine = self._engine
        soft = policy.soft_timeout if policy is not None else None
        known = engine.functions.known(function, soft)
        if known is not None:
            return known
        return engine.functions.get(function, soft)

    # ---- one call

    def apply(self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> T:
        """Call ``func(*args, **kwds)`` in a worker and return its result; blocks until it is there.

        Raises what ``AsyncResult.get()`` raises, and ValueError if the pool is closed.
        """
        self._check_running()
        result = self._call(func, args, kwds, None, None, self._policy)
        return self._engine.run_now(result)  # type: ignore[no-any-return]

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
        """Call ``func(*args, **kwds)`` in a worker; return an AsyncResult at once.

        *callback* is called with the result, *error_callback* with the exception, both in the pool's own
        thread, which waits for them: they should be quick.

        After *timeout* seconds of running the worker is ended and replaced, and the call fails with
        TaskTimeoutError; after *soft_timeout* seconds SoftTimeoutError is raised inside the task (a Python
        function sees it as soon as it runs Python code). A call that fails with one of *retry_on* (by
        default WorkerDiedError) is tried again up to *retries* times, *backoff* seconds later and twice as
        much each time. None takes the pool's default.

        Raises ValueError if the pool is closed; an exception of pickling *func* or the arguments is that of
        the result.
        """
        self._check_running()
        policy = self._policy
        if not (timeout is soft_timeout is retries is backoff is retry_on is None):
            policy = self._make_policy({"timeout": timeout, "soft_timeout": soft_timeout, "retries": retries,
                                        "backoff": backoff, "retry_on": retry_on})  # fmt: skip
        result = self._call(func, args, kwds, callback, error_callback, policy)
        self._engine.submit_call(result)
        return result

    def _call(
        self, func: Any, args: Any, kwds: Any, callback: Any, error_callback: Any, policy: Policy | None
    ) -> AsyncResult:
        engine = self._engine
        try:
            function = engine.functions.known(func, None) if policy is None else None
            if function is None:
                function = self._function(func, policy)
        except Exception as error:
            result = AsyncResult(engine, self, None, callback, error_callback)
            result._kind, result._arg = CALL_ANY, (args, kwds)
            engine.submit_failed(result, error)
            return result
        result = AsyncResult(engine, self, function, callback, error_callback, policy)
        if kwds:
            result._kind = CALL_ANY
            result._arg = (tuple(args), dict(kwds))
        else:
            result._kind = CALL_STAR
            result._arg = args if type(args) is tuple else tuple(args)
        return result

    # ---- maps

    def map(
        self,
        func: Callable[[Any], T],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        *,
        progress: Any = None,
    ) -> list[T]:
        """Call ``func(item)`` for each item; return the list of results, when all are there.

        The items are sent in chunks of *chunksize*, by default chosen by the pool. With *progress* true a
        bar of tqdm is shown; a callable is called with (done, total), for the last time before this returns.

        Raises what the first failing task raised, when all are done; ValueError if the pool is closed.
        """
        return self._map(func, iterable, CALL_ONE, chunksize, None, None, progress).get()  # type: ignore[no-any-return]

    def starmap(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        progress: Any = None,
    ) -> list[T]:
        """As ``map()``, but each item is an iterable of arguments: ``func(*item)``."""
        return self._map(func, iterable, CALL_STAR, chunksize, None, None, progress).get()  # type: ignore[no-any-return]

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: Any = None,
        **options: Any,
    ) -> MapResult:
        """As ``map()``, but return an AsyncResult at once. For callbacks and *options* see ``apply_async()``."""
        return self._map(func, iterable, CALL_ONE, chunksize, callback, error_callback, progress, options)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
        *,
        progress: Any = None,
        **options: Any,
    ) -> MapResult:
        """As ``starmap()``, but return an AsyncResult at once. See ``map_async()``."""
        return self._map(func, iterable, CALL_STAR, chunksize, callback, error_callback, progress, options)

    def _map(
        self,
        func: Any,
        iterable: Iterable[Any],
        kind: int,
        chunksize: int | None,
        callback: Any,
        error_callback: Any,
        progress: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> MapResult:
        self._check_running()
        policy = self._make_policy(options) if options else self._policy
        items = list(iterable)
        if chunksize is None:
            chunksize, extra = divmod(len(items), self._engine.crew.wanted * 4)
            if extra:
                chunksize += 1
            chunksize = min(chunksize, _LARGEST_CHUNK)
        chunksize = max(1, as_int(chunksize, "chunksize must be an int or None"))
        if policy is not None and policy.special:
            chunksize = 1
        engine = self._engine
        try:
            function = self._function(func, policy)
        except Exception as error:
            result = MapResult(engine, self, None, items, chunksize, kind, callback, error_callback)
            engine.submit_failed(result, error)
            return result
        result = MapResult(engine, self, function, items, chunksize, kind, callback, error_callback, policy)
        if progress:
            watch_map(result, progress, len(items))
        if items:
            engine.submit(result)
        else:
            if result._progress is not None:
                engine.report(result._progress, 0, 0)
            engine.submit_done(result, [])
        return result

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
        """Return an iterator over ``func(item)`` for each item, in order, as they become ready.

        The input is read as the workers need it. With *buffersize* at most so many tasks (chunks) are read
        ahead of what has been taken out of the iterator. Without, at most 16384 items are, until the pool is
        closed, so that memory stays bounded however long the input is. For *options* see ``apply_async()``.

        Raises ValueError for a chunksize or buffersize below 1, or if the pool is closed.
        """
        job: IMapIterator = self._imap(
            IMapIterator, func, iterable, CALL_ONE, chunksize, buffersize, progress, options
        )
        return job

    def imap_unordered(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int = 1,
        buffersize: int | None = None,
        *,
        progress: Any = None,
        **options: Any,
    ) -> IMapUnorderedIterator:
        """As ``imap()``, but in the order in which the results become ready."""
        job: IMapUnorderedIterator = self._imap(
            IMapUnorderedIterator, func, iterable, CALL_ONE, chunksize, buffersize, progress, options
        )
        return job

    def _istarmap(
        self, func: Any, iterable: Iterable[Any], chunksize: int, buffersize: int | None
    ) -> IMapIterator:
        return self._imap(IMapIterator, func, iterable, CALL_STAR, chunksize, buffersize, None, {})  # type: ignore[no-any-return]

    def _imap(
        self,
        cls: type[Any],
        func: Any,
        iterable: Iterable[Any],
        kind: int,
        chunksize: int,
        buffersize: int | None,
        progress: Any,
        options: Mapping[str, Any],
    ) -> Any:
        self._check_running()
        chunksize = as_int(chunksize, "chunksize must be an int")
        if chunksize < 1:
            raise ValueError(f"Chunksize must be 1+, not {chunksize:n}")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError(f"buffersize must be an integer or None, not {buffersize!r}")
        if buffersize is not None and buffersize < 1:
            raise ValueError(f"buffersize must be None or > 0, not {buffersize}")
        policy = self._make_policy(options) if options else self._policy
        if policy is not None and policy.special:
            chunksize = 1
        engine = self._engine
        try:
            function = self._function(func, policy)
        except Exception as error:
            job = cls(engine, self, None, (), chunksize, kind, buffersize, policy)
            engine.submit_failed(job, error)
            return job
        job = cls(engine, self, function, iterable, chunksize, kind, buffersize, policy)
        if progress:
            total = iterable.__len__() if hasattr(iterable, "__len__") else None
            watch_imap(job, progress, total)
        engine.submit(job)
        return job

    # ---- the end

    def close(self) -> None:
        """Let no more tasks be submitted; the workers end when all tasks are done. Does not block."""
        if self._at_home():
            self._engine.close()

    def terminate(self) -> None:
        """End the workers now; what is not complete fails. Returns when they have ended, within seconds."""
        self._terminate.cancel()
        if self._at_home():
            end_engine(self._engine, self._thread)

    def join(self) -> None:
        """Wait until the workers have ended. Raises ValueError unless ``close()`` or ``terminate()`` came first."""
        if not self._at_home():
            return
        if self._state == RUN:
            raise ValueError("Pool is still running: call close() or terminate() before join()")
        self._engine.crew.join(self._engine, self._thread)

    def _at_home(self) -> bool:
        # In the child of a fork workers and threads are the parent's: a with block that ends there ends nothing.
        return self._engine.owner_pid == os.getpid()

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.terminate()

    def __del__(self) -> None:
        if self.__dict__.get("_pool_ready") and self._state == RUN and self._at_home():
            import warnings

            warnings.warn(
                f"unclosed running multiprocessing pool {self!r}", ResourceWarning, stacklevel=2, source=self
            )

    def __reduce__(self) -> Any:
        raise PoolPicklingError(
            "pool objects cannot be passed between processes or pickled; make a pool in the process that uses it"
        )

    # ---- looking at it, changing it

    def init_values(self) -> list[Any]:
        """Return what the initializer returned in each worker that is there, None where it has not yet."""
        self._engine.pump()
        return list(self._engine.crew.init_values.values())

    def exit_values(self) -> list[Any]:
        """Return what ``on_exit`` returned in the workers that have ended in order (an exception where it raised)."""
        return list(self._engine.crew.exit_values)

    @property
    def _state(self) -> str:
        return self._state_override or self._engine.state

    @_state.setter
    def _state(self, value: str) -> None:
        self._state_override = value

    @property
    def _pool(self) -> list[Any]:
        if self._crew is not None:
            return self._crew.processes
        return [worker.process for worker in self._engine.workers] or self._engine.crew.departed

    @property
    def _processes(self) -> int:
        crew: Crew = self._crew if self._crew is not None else self._engine.crew
        return crew.wanted

    @property
    def _cache(self) -> dict[int, Job]:
        self._engine.pump()
        return self._engine.jobs

    def _repopulate_pool(self) -> None:
        if self._crew is None:
            self._engine.pump()
            return
        processes = self._crew.processes
        while len(processes) < self._crew.wanted:
            args = (self._inqueue, self._outqueue, self._initializer, self._initargs, self._maxtasksperchild,
                    self._wrap_exception)  # fmt: skip
            process = type(self).Process(self._ctx, target=worker, args=args)
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = True
            process.start()
            processes.append(process)

    def _setup_queues(self) -> None:
        """Make the queues of a subclass that extends this method; a Pool itself has none."""
        self._inqueue = self._ctx.SimpleQueue()
        self._outqueue = self._ctx.SimpleQueue()
        self._quick_put = self._inqueue._writer.send
        self._quick_get = self._outqueue._reader.recv

    def resize(self, processes: int) -> None:
        """Change the number of workers: new ones start now, surplus ones end when they have nothing to do.

        Raises ValueError for a number below 1, or if the pool is closed.
        """
        self._check_running()
        processes = _checked_size(processes)
        engine = self._engine
        engine.enter()
        try:
            engine.crew.wanted = processes
            engine.crew.start(engine)
            engine._pump()
            engine.crew.wake()
        finally:
            engine.leave()

    def stats(self) -> dict[str, Any]:
        """Return figures of the pool: ``tasks`` and ``deaths`` so far, ``queued`` and ``running`` now,
        ``poisonous`` (tasks that ended a worker on every attempt), and under ``workers`` for each: ``pid``,
        ``tasks``, ``busy`` (seconds in tasks), ``waiting`` (seconds without one), ``alive`` (seconds since its
        start), ``running_for`` (seconds, None: no task), ``slowest`` and ``slowest_task`` (seconds and description of
        the longest of the tasks that were sent alone, as those of more than 0.4 ms are).
        """
        self._engine.pump()
        return pool_stats(self._engine)

    def executor(self) -> Executor:
        """Return a ``concurrent.futures.Executor`` that runs its calls in this pool; its ``shutdown()`` leaves
        the pool open.
        """
        return PoolExecutor(self)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__qualname__} state={self._state} pool_size={len(self._pool)}>"


def as_int(value: Any, rule: str) -> int:
    """Return *value*, which may be of another type of integers (numpy's). Raises TypeError with *rule* for others."""
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{rule}, not {value!r}") from None


def _checked_size(processes: Any) -> int:
    number = as_int(processes, "the number of processes must be an int")
    if number < 1:
        raise ValueError(f"Number of processes must be at least 1, not {number}")
    return number


def _checked_bytes(limit: Any) -> int:
    text = f"memory_limit={limit!r} is not a number of bytes above 0, or None for no limit"
    try:
        number = index(limit)
    except TypeError:
        raise TypeError(text) from None
    if number < 1:
        raise ValueError(text)
    return number


def end_engine(engine: Engine, thread: Any) -> None:
    """Terminate and wait until the pool's thread has ended, which ends the workers within seconds."""
    engine.terminate()
    engine.crew.signal_all(engine)
    thread.join(_END_MOST)


def forget_engine(engine: Engine, thread: Any) -> None:
    """The pool was collected, maybe while this thread holds the engine's lock or any other: only give signals."""
    if is_exiting():
        end_engine(engine, thread)
        return
    engine.forgotten = True
    engine.crew.signal_all(engine)
    engine.crew.wake()


class _DefaultContext:
    """What a pool uses that is given no context: processes of the chosen start method, which is fixed by that."""

    def __init__(self, process: type) -> None:
        self.Process = process


def default_context() -> Any:
    """Return the context of a pool that is given none."""
    classes = {"fork": ForkProcess, "spawn": SpawnProcess, "forkserver": ForkServerProcess}
    return _DefaultContext(classes[get_start_method() or "spawn"])


__all__ = ("CLOSE", "INIT", "RUN", "TERMINATE", "ExceptionWithTraceback", "Pool", "default_size")
