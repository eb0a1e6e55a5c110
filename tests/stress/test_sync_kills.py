"""A random campaign: processes that use synchronisation objects are killed at random moments.

``PROCESSION_STRESS_KILLS`` sets the number of kills (2,000; in a sample, ``PROCESSION_SAMPLE=1``, 200) and
``PROCESSION_STRESS_SEED`` the seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from procession_synchronize import Condition, Lock, Semaphore
from tests.synchronize.helpers import eventually, finish, start

SAMPLE = os.environ.get("PROCESSION_SAMPLE") == "1"
KILLS = int(os.environ.get("PROCESSION_STRESS_KILLS", "200" if SAMPLE else "2000"))
SEED = int(os.environ.get("PROCESSION_STRESS_SEED", "20240229"))
pytestmark = [pytest.mark.stress, pytest.mark.timeout(60 + KILLS // 5)]


@pytest.mark.native_only
@pytest.mark.parametrize("workers", [2, 6])
def test_random_kills(workers: int) -> None:
    names = set(os.listdir("/dev/shm"))
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("sync_kills.py")),
            str(KILLS // 2),
            str(workers),
            str(SEED),
        ],
        capture_output=True,
        text=True,
        timeout=50 + KILLS // 5,
    )
    assert done.returncode == 0, f"seed {SEED}: {done.stderr[-3000:]}"
    result = json.loads(done.stdout.splitlines()[-1])
    print(result)
    assert result["kills"] == KILLS // 2
    assert {name for name in os.listdir("/dev/shm") if name.startswith("procession")} <= names


def produce(cond: Any, items: Any, count: int) -> None:
    for _ in range(count):
        with cond:
            items.release()
            cond.notify()


def consume(cond: Any, items: Any, count: int) -> None:
    for _ in range(count):
        with cond:
            assert cond.wait_for(lambda: items.acquire(False), 60)


def test_no_wake_up_is_lost(start_method: str) -> None:
    """As many notifications as items: if one is lost or stolen, a consumer sleeps for ever."""
    if start_method != "fork":
        pytest.skip("the start method has no part in it")
    cond, items = Condition(Lock()), Semaphore(0)
    count = max(500, KILLS * 2)
    children = [start(start_method, consume, cond, items, count) for _ in range(3)]
    children += [start(start_method, produce, cond, items, count) for _ in range(3)]
    finish(*children)
    assert items.get_value() == 0


def use(sem: Any, mine: Any, stop: Any) -> None:
    while not stop.acquire(False):
        with sem:
            mine.release()


def test_nobody_starves() -> None:
    """Four processes at a semaphore of one: each gets its turns."""
    sem, stop = Semaphore(1), Semaphore(0)
    counts = [Semaphore(0) for _ in range(4)]
    children = [start("os.fork", use, sem, mine, stop) for mine in counts]
    eventually(lambda: min(mine.get_value() for mine in counts) > 50, "a turn of each")
    for _ in children:
        stop.release()
    finish(*children)


def test_notifications_are_served_in_order(threads: Any) -> None:
    cond = Condition(Lock())
    order: list[int] = []

    def wait(number: int) -> None:
        with cond:
            assert cond.wait(60)
            order.append(number)

    for number in range(10):
        threads.run(wait, number)
        eventually(lambda: f", {number + 1})>" in repr(cond))
    for number in range(10):
        with cond:
            cond.notify()
        eventually(lambda: len(order) == number + 1)
    assert order == sorted(order)


@pytest.fixture
def threads() -> Any:
    from tests.synchronize.helpers import Threads

    group = Threads()
    yield group
    group.join()


def test_event_pulses_are_not_missed() -> None:
    """A set that is followed by a clear at once still wakes those who waited."""
    from procession_synchronize import Event

    event, ready = Event(), threading.Semaphore(0)
    for _ in range(200):
        seen: list[bool] = []

        def wait() -> None:
            ready.release()
            seen.append(event.wait(60))

        thread = threading.Thread(target=wait)
        thread.start()
        ready.acquire()
        deadline = time.monotonic() + 60
        while thread.is_alive():
            assert time.monotonic() < deadline
            event.set()
            event.clear()
            time.sleep(0.0001)
        thread.join()
        assert seen == [True]
