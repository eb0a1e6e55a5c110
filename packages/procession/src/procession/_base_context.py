"""A context: the whole API bound to one start method."""

from __future__ import annotations

import sys

from procession_core import AuthenticationError, BufferTooShort, NotSupportedError, ProcessError
from procession_core import TimeoutError as ProcessTimeoutError

from ._lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from logging import Logger
    from os import PathLike
    from typing import Any

__all__ = ("BaseContext", "available", "concrete_contexts")

concrete_contexts: dict[str, BaseContext] = {}
"""Start method -> its context."""

available: set[str] = set()
"""Start methods of this platform whose context has been handed out."""


def cluster_context(options: dict[str, Any]) -> Any:
    """Return a context on a cluster. Raises NotSupportedError where procession-cluster is not installed."""
    try:
        cluster = load("procession_cluster")
    except ModuleNotFoundError as error:
        raise NotSupportedError(
            "the context 'dask' needs the distribution procession-cluster: pip install procession[cluster]"
        ) from error
    return cluster.ClusterContext(**options)


class BaseContext:
    """The API of the package, every object made for the start method of this context.

    Locks, queues and shared memory are the same objects under every start method: only ``Process``, ``Pool`` and
    ``Manager`` differ between contexts. (On the portable variant locks differ too.)
    """

    ProcessError = ProcessError
    BufferTooShort = BufferTooShort
    TimeoutError = ProcessTimeoutError
    AuthenticationError = AuthenticationError

    _name: str | None = None
    Process: Any

    # ---- this and other contexts ---------------------------------------------------------------------------

    def get_context(self, method: str | None = None, **options: Any) -> Any:
        """Return the context of *method*; None: this one.

        ``"dask"`` gives a context whose pool, queues and locks are on a cluster; *options* are those of
        ``procession_cluster.ClusterContext``: ``address``, ``security``.

        Raises ValueError for a start method that is unknown or that this platform does not have, TypeError for
        options of a start method, which has none, NotSupportedError for "dask" where procession-cluster is not
        installed.
        """
        if method == "dask":
            return cluster_context(options)
        if options:
            raise TypeError(
                f"get_context() takes no options for start method {method!r}, got {', '.join(options)}"
            )
        if method is None:
            return self
        context = concrete_contexts.get(method)
        if context is None:
            raise ValueError(
                f"cannot find context for {method!r}; allowed are {', '.join(sorted(concrete_contexts))}"
            )
        if method not in available:
            context._check_available()
            available.add(method)
        return context

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """Return the start method of this context. *allow_none* matters to the default context only."""
        return self._name

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Raise ValueError: a context that ``get_context()`` returned keeps its start method."""
        raise ValueError(
            "cannot set start method of concrete context; call procession.set_start_method(), "
            "or get_context() with another method"
        )

    def get_all_start_methods(self) -> list[str]:
        """Return the start methods of this platform, the default one first."""
        methods: list[str] = load("procession_process").get_all_start_methods()
        return methods

    @property
    def reducer(self) -> Any:
        """The module that controls how objects are pickled for other processes."""
        return load("procession.reduction")

    def _check_available(self) -> None:
        pass

    # ---- processes -----------------------------------------------------------------------------------------

    @staticmethod
    def current_process() -> Any:
        """Return the object of this process."""
        return load("procession_process").current_process()

    @staticmethod
    def parent_process() -> Any:
        """Return the object of the process that started this one, None in the main process."""
        return load("procession_process").parent_process()

    @staticmethod
    def active_children() -> list[Any]:
        """Return the children of this process that are alive. Joins those that have ended."""
        children: list[Any] = load("procession_process").active_children()
        return children

    def cpu_count(self) -> int:
        """Return the number of CPUs. Raises NotImplementedError where it cannot be determined."""
        number: int = load("procession_process").cpu_count()
        return number

    def freeze_support(self) -> None:
        """In a child of a frozen program: run it and end the process. Anywhere else: nothing."""
        if getattr(sys, "frozen", False):
            load("procession_process").freeze_support()

    def set_executable(self, executable: str | bytes | PathLike[str] | PathLike[bytes]) -> None:
        """Set the interpreter that spawn and forkserver start."""
        load("procession_process").set_executable(executable)

    def set_forkserver_preload(self, module_names: Iterable[str], *, on_error: str = "ignore") -> None:
        """Let the fork server import *module_names* before it forks. Raises as the function of that name."""
        load("procession_process").set_forkserver_preload(module_names, on_error=on_error)

    # ---- communication -------------------------------------------------------------------------------------

    def Pipe(self, duplex: bool = True) -> Any:
        """Return two connected Connections; one direction only unless *duplex*."""
        return load("procession_connection").Pipe(duplex)

    def Queue(self, maxsize: int = 0) -> Any:
        """Return a queue; ``put()`` blocks while it has *maxsize* items, unless that is 0 or less."""
        return load("procession_queues").Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize: int = 0) -> Any:
        """Return a queue with ``task_done()`` and ``join()``."""
        return load("procession_queues").JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self) -> Any:
        """Return a queue with ``empty()``, ``get()``, ``put()`` and ``close()`` alone."""
        return load("procession_queues").SimpleQueue(ctx=self.get_context())

    def allow_connection_pickling(self) -> None:
        """Make sure that connections and sockets can be sent to other processes."""
        load("procession_connection")

    # ---- synchronization -----------------------------------------------------------------------------------

    def Lock(self) -> Any:
        """Return a non-recursive lock."""
        return load("procession_synchronize").Lock(ctx=self.get_context())

    def RLock(self) -> Any:
        """Return a recursive lock."""
        return load("procession_synchronize").RLock(ctx=self.get_context())

    def Semaphore(self, value: int = 1) -> Any:
        """Return a semaphore."""
        return load("procession_synchronize").Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value: int = 1) -> Any:
        """Return a semaphore that cannot be released above *value*."""
        return load("procession_synchronize").BoundedSemaphore(value, ctx=self.get_context())

    def Condition(self, lock: Any = None) -> Any:
        """Return a condition variable on *lock*; None: on a new RLock."""
        return load("procession_synchronize").Condition(lock, ctx=self.get_context())

    def Event(self) -> Any:
        """Return an event."""
        return load("procession_synchronize").Event(ctx=self.get_context())

    def Barrier(
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> Any:
        """Return a barrier for *parties* processes; *timeout* in seconds is the default of ``wait()``."""
        return load("procession_synchronize").Barrier(parties, action, timeout, ctx=self.get_context())

    # ---- shared state --------------------------------------------------------------------------------------

    def RawValue(self, typecode_or_type: Any, *args: Any) -> Any:
        """Return a ctypes object in shared memory, without a lock."""
        return load("procession_sharedctypes").RawValue(typecode_or_type, *args)

    def RawArray(self, typecode_or_type: Any, size_or_initializer: Any) -> Any:
        """Return a ctypes array in shared memory, without a lock."""
        return load("procession_sharedctypes").RawArray(typecode_or_type, size_or_initializer)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Any:
        """Return a ctypes object in shared memory, with a lock unless *lock* is False."""
        make = load("procession_sharedctypes").Value
        return make(typecode_or_type, *args, lock=lock, ctx=self.get_context())

    def Array(self, typecode_or_type: Any, size_or_initializer: Any, *, lock: Any = True) -> Any:
        """Return a ctypes array in shared memory, with a lock unless *lock* is False."""
        make = load("procession_sharedctypes").Array
        return make(typecode_or_type, size_or_initializer, lock=lock, ctx=self.get_context())

    # ---- workers and managers ------------------------------------------------------------------------------

    def Pool(
        self,
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
        memory_limit: int | None = None,
        on_exit: Callable[[], object] | None = None,
        idle_timeout: float | None = None,
        daemon: bool = True,
    ) -> Any:
        """Return a pool of worker processes that are started by this context's method.

        The parameters are those of ``procession_pool.Pool``, which describes them. They are named one by one, so that
        a misspelt one is refused here and by this method's name, as CPython does.
        """
        make = load("procession_pool").Pool
        return make(
            processes, initializer, initargs, maxtasksperchild, self.get_context(), timeout=timeout,
            soft_timeout=soft_timeout, retries=retries, backoff=backoff, retry_on=retry_on, memory_limit=memory_limit,
            on_exit=on_exit, idle_timeout=idle_timeout, daemon=daemon,
        )  # fmt: skip

    def Manager(self) -> Any:
        """Return a started SyncManager: objects that live in a server process and are used through proxies."""
        manager = load("procession_managers").SyncManager(ctx=self.get_context())
        manager.start()
        return manager

    # ---- logging -------------------------------------------------------------------------------------------

    def get_logger(self) -> Logger:
        """Return the logger of this library, making it if necessary."""
        logger: Logger = load("procession_core").get_logger()
        return logger

    def log_to_stderr(self, level: int | str | None = None) -> Logger:
        """Let the library log to ``sys.stderr``, at *level* unless None; return the logger."""
        logger: Logger = load("procession_core").log_to_stderr(level)
        return logger
