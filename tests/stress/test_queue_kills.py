"""Random campaigns: producers and consumers are killed at random moments; every item is accounted for.

``PROCESSION_STRESS_KILLS`` sets the number of kills (1,000; in a sample 100), ``PROCESSION_STRESS_SEED`` the seed and
``PROCESSION_STRESS_ITEMS`` the items of the soak (10 million; in a sample 200,000).
"""

from __future__ import annotations

import gc
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from procession_queues import Empty, JoinableQueue, Queue
from tests.queues.children import PATIENCE, consume, finish, produce, start

SAMPLE = os.environ.get("PROCESSION_SAMPLE") == "1"
KILLS = int(os.environ.get("PROCESSION_STRESS_KILLS", "100" if SAMPLE else "1000"))
SEED = int(os.environ.get("PROCESSION_STRESS_SEED", "20240229"))
ITEMS = int(os.environ.get("PROCESSION_STRESS_ITEMS", "200000" if SAMPLE else "10000000"))
pytestmark = [
    pytest.mark.stress,
    pytest.mark.native_only,
    pytest.mark.timeout(120 + KILLS // 2 + ITEMS // 20000),
]


def core() -> Any:
    import procession_native

    return procession_native.core


def forked(alive: set[int], function: Callable[..., Any], *args: Any) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            function(*args)
        finally:
            os._exit(1)
    alive.add(pid)
    # A child that is killed before it has taken its slot keeps the references that it inherited until we end.
    while all(process["pid"] != pid for process in core().processes()):
        time.sleep(0.0005)
    return pid


def kill(pid: int, alive: set[int]) -> None:
    alive.discard(pid)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    core().note_exit(pid, status)


def payload(number: int, i: int) -> Any:
    """Tagged values, pickles, blocks and references, each with its origin in front."""
    if i % 7 == 3:
        return [number, i, "x" * (i % 3000)]
    if i % 31 == 5:
        return [number, i, Queue()]
    if i % 101 == 7:
        return b"%d %d " % (number, i) + b"z" * 50_000
    return number << 32 | i


def origin(item: Any) -> tuple[int, int]:
    if isinstance(item, list):
        return item[0], item[1]
    if isinstance(item, bytes):
        number, i = item.split(b" ", 2)[:2]
        return int(number), int(i)
    return item >> 32, item & 0xFFFFFFFF


def produce_for_ever(queue: Any, number: int) -> None:
    i = 0
    parent = os.getppid()
    while os.getppid() == parent:
        if i % 5 == 4:
            queue.put_many(payload(number, i + k) for k in range(10))
            i += 10
        else:
            queue.put(payload(number, i))
            i += 1
        while queue.qsize() > 5000:  # it must not run away from the consumers
            time.sleep(0.0005)


def consume_for_ever(queue: Any, results: Any, number: int, bulk: bool) -> None:
    while True:
        if bulk:
            results.put((number, [origin(item) for item in queue.get_many(5)]))
        else:
            results.put((number, [origin(queue.get())]))


@pytest.mark.parametrize("maxsize", [0, 50])
def test_random_kills(maxsize: int) -> None:
    random.seed(SEED + maxsize)
    warm = [Queue() for _ in range(100)]  # the ledger grows once
    del warm
    gc.collect()
    core().sweep()
    start_bytes = core().memory()["used"]
    alive: set[int] = set()
    try:
        campaign(maxsize, alive)
    finally:
        for pid in list(alive):
            kill(pid, alive)
    gc.collect()
    core().sweep()
    assert core().check() is None
    assert core().memory()["used"] == start_bytes


def campaign(maxsize: int, alive: set[int]) -> None:
    queue, results = JoinableQueue(maxsize), Queue()
    numbers = iter(range(1, 1 << 20))
    producers = {forked(alive, produce_for_ever, queue, n): n for n in (next(numbers), next(numbers))}
    consumers: dict[int, tuple[int, bool]] = {}

    def add_consumer() -> None:
        n, bulk = next(numbers), random.random() < 0.5
        consumers[forked(alive, consume_for_ever, queue, results, n, bulk)] = (n, bulk)

    add_consumer()
    add_consumer()
    seen: dict[int, set[int]] = {}
    latest: dict[tuple[int, int], int] = {}
    lost_at_most = received = 0

    def account(consumer: int, items: list[tuple[int, int]]) -> None:
        nonlocal received
        for number, i in items:
            of = seen.setdefault(number, set())
            assert i not in of, f"item {i} of producer {number} came twice"
            of.add(i)
            assert latest.get((consumer, number), -1) < i, "out of order"
            latest[consumer, number] = i
            received += 1

    def collect(rounds: int = 3) -> None:
        # The consumers may well report faster than this can count.
        try:
            for _ in range(rounds):
                for report in results.get_many(1000, timeout=0):
                    account(*report)
        except Empty:
            pass

    for _ in range(KILLS // 2):
        time.sleep(random.random() * 0.01)
        collect()
        if random.random() < 0.5:
            pid = random.choice(list(producers))
            kill(pid, alive)
            del producers[pid]
            n = next(numbers)
            producers[forked(alive, produce_for_ever, queue, n)] = n
        else:
            pid = random.choice(list(consumers))
            kill(pid, alive)
            lost_at_most += 5 if consumers.pop(pid)[1] else 1
            add_consumer()
    for pid in producers:
        kill(pid, alive)
    deadline = time.monotonic() + PATIENCE
    while queue.qsize() and time.monotonic() < deadline:
        collect()
    time.sleep(0.05)
    for pid, (_, bulk) in consumers.items():
        kill(pid, alive)
        lost_at_most += 5 if bulk else 1
    collect(1 << 30)
    assert queue.empty() and results.empty()
    missing = sum(max(of) + 1 - len(of) for of in seen.values())
    assert missing <= lost_at_most, (
        f"{missing} items are nowhere; the killed consumers had at most {lost_at_most}"
    )
    totals = queue.totals()
    assert totals["put"] == totals["taken"] and received <= totals["put"] <= received + lost_at_most
    print(f"{received} items, {missing} with the killed, {core().memory()['repairs']} repairs here")


def test_many_producers_and_consumers() -> None:
    queue, results, each = Queue(), Queue(), 1000
    producers = [start("fork", produce, queue, n, 0, each) for n in range(32)]
    consumers = [start("fork", consume, queue, results) for _ in range(8)]
    finish(*producers)
    queue.put_many([None] * 8)
    total: dict[int, int] = {}
    for _ in consumers:
        counts, ordered = results.get(timeout=PATIENCE)
        assert ordered
        for n, count in counts.items():
            total[n] = total.get(n, 0) + count
    finish(*consumers)
    assert total == dict.fromkeys(range(32), each)


def test_soak_with_flat_memory() -> None:
    queue = Queue(1000)
    child = start("fork", produce, queue, 0, 0, ITEMS)
    latest, peak = -1, 0
    while latest < ITEMS - 1:
        for _, i in queue.get_many(timeout=PATIENCE):
            assert i == latest + 1
            latest = i
        if latest % 10_000 < 100:
            peak = max(peak, core().memory()["used"])
    finish(child)
    assert peak < 4 << 20
