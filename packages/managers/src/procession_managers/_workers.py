"""Threads for the calls that may block.

Idle threads wait in a stack, and at most a few are kept. Their number is not bounded below the number of calls
that block at the same time: a bound there would be a deadlock as soon as the call that would end the others
has to queue behind them.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from threading import Thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MOST_IDLE = 8
_IDLE_SECONDS = 10.0


class Worker:
    """A thread that runs one job at a time, in the order given."""

    def __init__(self, pool: Workers, job: tuple[Callable[..., object], tuple[Any, ...]], own: bool) -> None:
        self._pool = pool
        self._own = own
        self._jobs: deque[Any] = deque((job,))
        self._wake = allocate_lock()
        self._wake.acquire()
        Thread(target=self._run, name="procession-manager-worker", daemon=True).start()

    def give(self, job: tuple[Callable[..., object], tuple[Any, ...]] | None) -> None:
        """Let the thread run *job*; None ends it."""
        self._jobs.append(job)
        try:
            self._wake.release()
        except RuntimeError:  # it has been woken for an earlier one
            pass

    def _run(self) -> None:
        self._pool.prepare()
        while True:
            while self._jobs:
                job = self._jobs.popleft()
                if job is None:
                    return
                func, args = job
                func(*args)
                # Nothing of a finished call may live on while the thread is idle.
                del job, func, args
            if self._own:
                self._wake.acquire()
            elif not self._pool.rest(self) or (
                not self._wake.acquire(timeout=_IDLE_SECONDS) and self._pool.leave(self)
            ):
                return


class Workers:
    """All threads of a server. *prepare* is called first in each."""

    def __init__(self, prepare: Callable[[], object]) -> None:
        self.prepare = prepare
        self._idle: list[Worker] = []
        self._lock = allocate_lock()

    def submit(self, func: Callable[..., object], *args: Any) -> None:
        """Run ``func(*args)`` in some thread, without delay."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            Worker(self, (func, args), own=False)
        else:
            worker.give((func, args))

    def own(self, func: Callable[..., object], *args: Any) -> Worker:
        """Run ``func(*args)`` in a new thread, which is the caller's until it is given None."""
        return Worker(self, (func, args), own=True)

    def rest(self, worker: Worker) -> bool:
        """*worker* has nothing to do: True to wait, False to end."""
        with self._lock:
            if len(self._idle) >= _MOST_IDLE:
                return False
            self._idle.append(worker)
            return True

    def leave(self, worker: Worker) -> bool:
        """*worker* has waited for long: True to end, False if a job has just been given to it."""
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
                return True
            return False
