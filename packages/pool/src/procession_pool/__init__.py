"""Pool, ThreadPool, AsyncResult and the executor.

Loaded at first use: a spawned worker unpickles one function of this package, and needs a fifth of its modules.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._errors import (
        BrokenPoolError,
        CancelledError,
        MaybeEncodingError,
        NotReadyError,
        PoisonTaskError,
        RemoteError,
        RemoteTraceback,
        SoftTimeoutError,
        TaskTimeoutError,
    )
    from ._iterators import IMapIterator, IMapUnorderedIterator
    from ._pool import Pool
    from ._queue_worker import worker
    from ._results import ApplyResult, AsyncResult, MapResult
    from ._reusable import get_reusable_pool
    from ._task_context import current_task, log_tasks
    from ._threadpool import ThreadPool
    from ._worker import worker_state
else:
    _HOMES = {
        "ApplyResult": "._results",
        "AsyncResult": "._results",
        "BrokenPoolError": "._errors",
        "CancelledError": "._errors",
        "IMapIterator": "._iterators",
        "IMapUnorderedIterator": "._iterators",
        "MapResult": "._results",
        "MaybeEncodingError": "._errors",
        "NotReadyError": "._errors",
        "PoisonTaskError": "._errors",
        "Pool": "._pool",
        "RemoteError": "._errors",
        "RemoteTraceback": "._errors",
        "SoftTimeoutError": "._errors",
        "TaskTimeoutError": "._errors",
        "ThreadPool": "._threadpool",
        "current_task": "._task_context",
        "get_reusable_pool": "._reusable",
        "log_tasks": "._task_context",
        "worker": "._queue_worker",
        "worker_state": "._worker",
    }

    def __getattr__(name):
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(home, __name__), name)
        return value

    def __dir__():
        return sorted({*globals(), *_HOMES})


__all__ = (
    "ApplyResult",
    "AsyncResult",
    "BrokenPoolError",
    "CancelledError",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "MaybeEncodingError",
    "NotReadyError",
    "PoisonTaskError",
    "Pool",
    "RemoteError",
    "RemoteTraceback",
    "SoftTimeoutError",
    "TaskTimeoutError",
    "ThreadPool",
    "current_task",
    "get_reusable_pool",
    "log_tasks",
    "worker",
    "worker_state",
)
