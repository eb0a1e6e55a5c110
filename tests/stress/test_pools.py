"""Pools by the thousand, a million tasks, a crowd of workers: results right, memory bounded, nothing left."""

from __future__ import annotations

import gc
import itertools
import os
from typing import Any

import pytest

from procession_pool import Pool
from procession_shm import native
from tests.pool import tasks
from tests.pool.conftest import CONTEXTS

pytestmark = [pytest.mark.stress, pytest.mark.timeout(1200)]


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def shared() -> int:
    if native is None:
        return 0
    gc.collect()
    native.sweep()
    return int(native.memory()["used"])


@pytest.mark.linux_only
def test_a_thousand_pools(leak_check: Any, sample: bool) -> None:
    def one(i: int) -> None:
        pool = Pool(2)
        if i % 3 == 0:
            assert pool.apply(tasks.square, (i,)) == i * i
        elif i % 3 == 1:
            assert pool.map(tasks.same, range(20), 1) == list(range(20))
        else:
            pool.map_async(tasks.slow_square, range(50), 1)
        [pool.close, pool.terminate][i % 2]()
        if i % 5:
            pool.join()

    for i in range(20):
        one(i)
    leak_check.settle()
    leak_check.rebase()
    memory, inside = resident(), shared()
    for i in range(20 if sample else 1000):
        one(i)
    left = leak_check.settle()
    assert not left, left
    assert shared() <= inside
    assert resident() - memory < 16 << 20, f"grown by {resident() - memory} bytes"


@pytest.mark.linux_only
def test_a_million_tasks(sample: bool) -> None:
    count = 50_000 if sample else 1_000_000
    with Pool(2) as pool:
        assert sum(pool.imap(tasks.same, range(20_000))) == sum(range(20_000))
        memory, inside, peak, total = resident(), shared(), 0, 0
        for value in pool.imap(tasks.same, itertools.islice(itertools.count(), count)):
            total += value
            if value % 10_000 == 0:
                peak = max(peak, resident())
        assert total == sum(range(count))
        assert peak - memory < 48 << 20, f"grown by {peak - memory} bytes"
        assert shared() <= inside + (1 << 20)


@pytest.mark.parametrize("method", sorted(CONTEXTS))
def test_sixty_four_workers(method: str, sample: bool) -> None:
    if sample and method != "fork":
        pytest.skip("a sample")
    with Pool(64, context=CONTEXTS[method]) as pool:
        assert pool.map(tasks.square, range(5000), 1) == [x * x for x in range(5000)]
        assert sum(pool.imap_unordered(tasks.same, range(5000))) == sum(range(5000))
        first = [worker.pid for worker in pool._pool]
        assert len(set(first)) == 64
    pool.join()
