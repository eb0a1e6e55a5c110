"""The same Pool, queues and locks on an existing distributed engine (Dask)."""

from __future__ import annotations

from ._context import ClusterContext
from ._iterators import IMapIterator
from ._pool import Pool
from ._results import AsyncResult

__all__ = ("AsyncResult", "ClusterContext", "IMapIterator", "Pool")
