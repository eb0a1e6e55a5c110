"""Lanes: what goes through them, and that nobody burns a CPU while nothing does."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from queue import Empty
from typing import Any

import pytest

from procession_managers import SyncManager

children: Any = sys.modules["managers_children"]


class MyManager(SyncManager):
    pass


MyManager.register("Thing", children.Thing)


class Number(int):
    pass


class Text(str):
    pass


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    (1 << 63) - 1,
    -(1 << 63),
    1 << 63,
    -(1 << 63) - 1,
    1 << 4000,
    0.5,
    -0.0,
    math.inf,
    "",
    "ascii",
    "é" * 10,
    "\ud800 alone",
    "x" * 100_000,
    b"",
    b"##",
    b"bytes",
    b"x" * 100_000,
    Number(7),
    Text("seven"),
    (1, "two", None),
    [1, [2]],
    {"a": 1.5},
]


def cpu_seconds(pid: int) -> float:
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def test_values_are_what_they_were(manager: SyncManager) -> None:
    d = manager.dict()
    for turn in range(2):  # before there is a lane, and through it
        for number, value in enumerate(VALUES):
            d[turn, number] = value
            got = d[turn, number]
            assert type(got) is type(value) and got == value
            assert d.pop((turn, number)) == value
    d["nan"] = math.nan
    assert math.isnan(d["nan"])
    assert math.copysign(1, d.setdefault("zero", -0.0)) == -1
    q = manager.Queue()
    for value in VALUES:
        q.put(value)
    assert [q.get() for _ in VALUES] == VALUES


def test_waiting_calls_return_plain_values(manager: SyncManager) -> None:
    q, answers = manager.Queue(), []

    def take() -> None:
        while (got := q.get()) is not None:
            answers.append(got)

    thread = threading.Thread(target=take)
    thread.start()
    for value in (*VALUES, None):
        if value is not None:
            q.put(value)
            time.sleep(0.001)
    q.put(None)
    thread.join(20)
    assert answers == [value for value in VALUES if value is not None]


@pytest.mark.linux_only
def test_idle_processes_use_no_cpu() -> None:
    with MyManager() as manager:
        d, thing = manager.dict(), manager.Thing()
        for number in range(500):
            d[number] = number
            thing.quick()
        server = manager._process.pid
        time.sleep(0.05)
        before = cpu_seconds(server), cpu_seconds(os.getpid())
        time.sleep(0.5)
        assert cpu_seconds(server) - before[0] < 0.05
        assert cpu_seconds(os.getpid()) - before[1] < 0.05


@pytest.mark.native_only
def test_waits_that_are_long_are_not_spun_through() -> None:
    from procession_shm import native

    queue = native.Queue(0, 0)
    queue._patient()

    def wait(times: int) -> float:
        before = time.thread_time()
        for _ in range(times):
            with pytest.raises(
                (Empty, RuntimeError)
            ):  # the core's own, where procession_queues is not imported
                queue.get(True, 0.002)
        return time.thread_time() - before

    wait(5)
    # A spin lasts 0.1 ms. The best of several: what else runs on the machine costs time, but never saves any.
    assert min(wait(40) / 40 for _ in range(10)) < 0.00007


@pytest.mark.native_only
def test_an_affinity_of_one_cpu(manager: SyncManager) -> None:
    d = manager.dict()
    everywhere = os.sched_getaffinity(0)
    server = manager._process.pid
    try:
        for cpus in ({min(everywhere)}, everywhere, {max(everywhere)}):
            os.sched_setaffinity(0, cpus)
            for task in os.listdir(f"/proc/{server}/task"):
                os.sched_setaffinity(int(task), cpus)
            for number in range(500):
                d["x"] = number
                assert d["x"] == number
    finally:
        os.sched_setaffinity(0, everywhere)


@pytest.mark.native_only
def test_only_plain_values_are_taken_from_a_lane() -> None:
    from procession_shm import native

    pytest.importorskip("procession_queues", reason="binds the pickling of queues")
    requests, answers = native.Queue(0, 0), native.Queue(0, 0)
    answers._patient()
    requests._patient()
    requests.put(b"request")
    assert requests.get() == b"request"
    requests.put({"a": "pickle"})
    with pytest.raises(TypeError, match="only bytes and plain values"):
        requests.get()
    answers.put(b"answer")
    assert answers._ask(requests, b"question", b" key", 1.0) == b"answer"
    assert requests.get() == b"question key"
    answers.put(b"answer")
    assert answers._ask(requests, b"q" * 100_000, b" key", 1.0) == b"answer"
    assert requests.get() == b"q" * 100_000 + b" key"
    for wrong in [(), (requests, b"", b""), (requests, "text", b"", 1.0), (7, b"", b"", 1.0)]:
        with pytest.raises(TypeError):
            answers._ask(*wrong)
