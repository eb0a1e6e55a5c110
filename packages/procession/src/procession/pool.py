"""Pools of workers (``multiprocessing.pool``)."""

from __future__ import annotations

from procession_core import TimeoutError as TimeoutError  # noqa: A004 - the documented name
from procession_pool import (
    ApplyResult,
    AsyncResult,
    BrokenPoolError,
    CancelledError,
    IMapIterator,
    IMapUnorderedIterator,
    MapResult,
    MaybeEncodingError,
    NotReadyError,
    PoisonTaskError,
    Pool,
    RemoteError,
    RemoteTraceback,
    SoftTimeoutError,
    TaskTimeoutError,
    ThreadPool,
    current_task,
    get_reusable_pool,
    log_tasks,
    worker_state,
)

INIT = "INIT"
RUN = "RUN"
CLOSE = "CLOSE"
TERMINATE = "TERMINATE"

__all__ = (
    "CLOSE",
    "INIT",
    "RUN",
    "TERMINATE",
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
    "TimeoutError",
    "current_task",
    "get_reusable_pool",
    "log_tasks",
    "worker_state",
)
