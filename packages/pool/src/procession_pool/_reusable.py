"""One pool for the whole program."""

from __future__ import annotations

from _thread import allocate_lock

from procession_core import reset_after_fork

from ._pool import Pool, default_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Reusable:
    """The pool and what it was made with."""

    def __init__(self) -> None:
        self.lock = allocate_lock()
        self.pool: Pool | None = None
        self.made_with: tuple[Any, ...] | None = None


_reusable = _Reusable()


def _forget() -> None:
    # A forked child makes its own.
    global _reusable
    _reusable = _Reusable()


reset_after_fork(_forget)


def get_reusable_pool(processes: int | None = None, **options: Any) -> Pool:
    """Return the program's common pool; it is made by the first call, and anew if it was closed or is broken.

    Another number of *processes* resizes it (None keeps it as it is); other *options* (those of ``Pool``)
    make a new one, the old one ending when its tasks are done. Raises as ``Pool()`` does.
    """
    made_with = tuple(sorted(options.items(), key=lambda item: item[0]))
    with _reusable.lock:
        pool = _reusable.pool
        if pool is not None and (pool._state != "RUN" or pool._engine.broken is not None):
            pool = None
        if pool is not None and _reusable.made_with != made_with:
            pool.close()
            pool = None
        if pool is None:
            pool = Pool(default_size() if processes is None else processes, **options)
            _reusable.pool = pool
            _reusable.made_with = made_with
        elif processes is not None and processes != pool._processes:
            pool.resize(processes)
        return pool
