"""Workers killed at random while everything runs: each task has its right result or a WorkerDiedError."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import Any

import pytest

from procession_core import WorkerDiedError
from procession_pool import Pool

from . import tasks


class Killer(threading.Thread):
    """Kills workers of a pool at random until it has killed enough."""

    def __init__(self, pool: Any, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.pool = pool
        self.wanted = kills
        self.kills = 0
        self.random = random.Random(seed)
        self.stop = threading.Event()

    def run(self) -> None:
        while self.kills < self.wanted and not self.stop.is_set():
            time.sleep(self.random.random() * 0.01)
            workers = self.pool._pool
            if not workers:
                continue
            victim = self.random.choice(workers)
            try:
                os.kill(victim.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.kills += 1


def campaign(kills: int, seed: int, workers: int = 3) -> tuple[int, int]:
    """Run all methods under fire; return (tasks that failed, kills)."""
    failed = 0
    with Pool(workers) as pool:
        killer = Killer(pool, kills, seed)
        killer.start()
        round = 0
        while killer.is_alive():
            round += 1
            mapped = pool.map_async(tasks.square, range(300), 1)
            applied = [pool.apply_async(tasks.slow_square, (x,)) for x in range(60)]
            ordered = pool.imap(tasks.square, range(300))
            unordered = pool.imap_unordered(tasks.same, range(300), 3)
            for x, result in enumerate(applied):
                try:
                    assert result.get(60) == x * x
                except WorkerDiedError:
                    failed += 1
            for x in range(300):
                try:
                    assert ordered.next(60) == x * x
                except WorkerDiedError:
                    failed += 1
            with pytest.raises(StopIteration):
                ordered.next(60)
            got = []
            lost = 0
            while True:
                try:
                    got.append(unordered.next(60))
                except StopIteration:
                    break
                except WorkerDiedError:
                    lost += 1
            assert len(got) == len(set(got)) and len(got) >= 300 - 3 * lost
            failed += lost
            try:
                assert mapped.get(60) == [x * x for x in range(300)]
            except WorkerDiedError:
                failed += 1
        assert pool.map(tasks.square, range(100), 1) == [x * x for x in range(100)]
        assert not pool._cache
    return failed, killer.kills


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_fifty_kills() -> None:
    failed, kills = campaign(50, seed=1)
    assert kills == 50
    assert failed <= 50


@pytest.mark.stress
@pytest.mark.timeout(1200)
def test_five_hundred_kills() -> None:
    for seed in range(5):
        failed, kills = campaign(100, seed=100 + seed)
        assert kills == 100
        assert failed <= 100
