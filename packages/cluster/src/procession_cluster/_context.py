"""The context whose objects live on a Dask cluster."""

from __future__ import annotations

from functools import partial

from procession_core import (
    AuthenticationError,
    BufferTooShort,
    NotSupportedError,
    ProcessError,
    get_logger,
    log_to_stderr,
)
from procession_core import TimeoutError as ProcessTimeoutError

from ._engine import Engine
from ._pool import Pool
from ._process import Process
from ._queue import Queue
from ._shared import Manager, Value
from ._sync import BoundedSemaphore, Event, Lock, RLock, Semaphore

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger
    from typing import Any

_ERRORS = {
    "ProcessError": ProcessError,
    "BufferTooShort": BufferTooShort,
    "TimeoutError": ProcessTimeoutError,
    "AuthenticationError": AuthenticationError,
}

_ELSEWHERE = {
    "Array": "put arrays into task arguments (big ones are sent once) or use Manager().list()",
    "RawArray": "put arrays into task arguments (big ones are sent once) or use Manager().list()",
    "RawValue": "use Value(), which has add()",
    "Pipe": "use Queue()",
    "Condition": "use Event() and Lock()",
    "Barrier": "use Event() and a Value() with add()",
    "SimpleQueue": "use Queue()",
    "JoinableQueue": "use Queue() and a Value() with add()",
    "SharedMemory": "put arrays into task arguments: big ones are sent once",
    "set_forkserver_preload": "preload modules with Dask's own --preload",
    "set_executable": "start Dask's workers with the interpreter you want",
    "set_start_method": "Dask starts its workers; ask procession.get_context() for another method",
    "current_process": "in a task, distributed.get_worker() says where it runs",
    "parent_process": "a task has none; distributed.get_client() reaches the cluster from a task",
    "active_children": "keep the Process objects, or look at Dask's dashboard",
}


class ClusterContext:
    """``procession.get_context("dask", address=...)``.

    Args:
        address: ``"tcp://host:port"`` of a scheduler (``tls://`` with TLS), a ``distributed.Client``, or None for an
            embedded local cluster that ends with the context.
        security: a ``distributed.Security``, for TLS; with an embedded cluster True makes temporary certificates.
        options: passed to ``distributed.LocalCluster`` (address None) or ``distributed.Client``.

    Raises NotSupportedError where distributed is not installed, OSError where there is no scheduler at
    the address.
    """

    def __init__(self, address: Any = None, *, security: Any = None, **options: Any) -> None:
        self._arguments = (address, security, options)
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        """The connection to the cluster, made when first needed."""
        if self._engine is None:
            self._engine = Engine(*self._arguments)
        return self._engine

    def Pool(self, *args: Any, **options: Any) -> Pool:
        """Return a pool on the cluster's workers."""
        return Pool(self.engine, *args, **options)

    def Process(self, *args: Any, **options: Any) -> Process:
        """Return a process that runs as a task."""
        return Process(self.engine, *args, **options)

    def Queue(self, maxsize: int = 0) -> Queue:
        """Return a queue."""
        return Queue(self.engine, maxsize)

    def Lock(self) -> Lock:
        """Return a lock."""
        return Lock(self.engine)

    def RLock(self) -> RLock:
        """Return a lock that its owner may take again."""
        return RLock(self.engine)

    def Semaphore(self, value: int = 1) -> Semaphore:
        """Return a semaphore."""
        return Semaphore(self.engine, value)

    def BoundedSemaphore(self, value: int = 1) -> BoundedSemaphore:
        """Return a bounded semaphore."""
        return BoundedSemaphore(self.engine, value)

    def Event(self) -> Event:
        """Return an event."""
        return Event(self.engine)

    def Value(self, typecode_or_type: Any, *args: Any, lock: Any = True) -> Value:
        """Return a shared number."""
        return Value(self.engine, typecode_or_type, *args, lock=lock)

    def Manager(self) -> Manager:
        """Return a manager of shared lists, dictionaries and namespaces."""
        return Manager(self)

    def cpu_count(self) -> int:
        """Return how many tasks the cluster runs at a time."""
        return self.engine.threads()

    def get_start_method(self, allow_none: bool = False) -> str:
        """Return "dask"."""
        return "dask"

    def get_context(self, method: str | None = None) -> ClusterContext:
        """Return this context; another method is asked of ``procession.get_context()``."""
        if method in (None, "dask"):
            return self
        raise ValueError(
            f"a dask context gives no context for {method!r}; use procession.get_context({method!r})"
        )

    def freeze_support(self) -> None:
        """Nothing to do."""

    def get_logger(self) -> Logger:
        """Return the logger of this process; Dask's workers have their own."""
        return get_logger()

    def log_to_stderr(self, level: int | str | None = None) -> Logger:
        """Write this process's log to stderr from *level* on."""
        return log_to_stderr(level)

    def close(self) -> None:
        """Disconnect; end the embedded cluster."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def __enter__(self) -> ClusterContext:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name in _ERRORS:
            return _ERRORS[name]
        if name in _ELSEWHERE:
            return partial(_not_here, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} address={self._arguments[0]!r}>"


def _not_here(name: str, *unused: Any, **options: Any) -> Any:
    raise NotSupportedError(
        f"{name} cannot be had on a cluster, whose machines share no memory; {_ELSEWHERE[name]}"
    )
