"""Pool, ThreadPool, AsyncResult and the executor."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
