"""Pools whose class brings its own queues, as joblib's and torch's do."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

import procession_process
import procession_queues
from procession_pool import Pool, worker

from . import tasks


def clean_worker(*args: Any) -> None:
    worker(*args)


class QueuePool(Pool):
    def _setup_queues(self) -> None:
        self._inqueue = procession_queues.SimpleQueue()
        self._outqueue = procession_queues.SimpleQueue()
        self._quick_put = self._inqueue.put
        self._quick_get = self._outqueue.get

    def _repopulate_pool(self) -> None:
        for _ in range(self._processes - len(self._pool)):
            args = (self._inqueue, self._outqueue, self._initializer, self._initargs, self._maxtasksperchild,
                    self._wrap_exception)  # fmt: skip
            process = self.Process(self._ctx, target=clean_worker, args=args)
            self._pool.append(process)
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = True
            process.start()


@pytest.fixture
def pool() -> Any:
    pool = QueuePool(2, context=SimpleNamespace(Process=procession_process.ForkProcess))
    yield pool
    pool.terminate()
    pool.join()


def test_everything_works(pool: Any) -> None:
    assert len(pool._pool) == 2
    assert pool.apply(tasks.add, (1, 2), {"c": 3}) == 6
    assert pool.map(tasks.square, range(100)) == [x * x for x in range(100)]
    assert list(pool.imap(tasks.square, range(50), 7)) == [x * x for x in range(50)]
    assert pool.starmap(tasks.add, [(1, 2), (3, 4)], 1) == [3, 7]
    with pytest.raises(ValueError):
        pool.apply(tasks.raise_value, (1,))
    pool.close()
    pool.join()


def test_processes_are_replaced(pool: Any) -> None:
    victim = pool._pool[0]
    os.kill(victim.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while (victim in pool._pool or len(pool._pool) < 2) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(pool._pool) == 2
