"""Pool, ThreadPool, AsyncResult and the executor."""

from __future__ import annotations

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
