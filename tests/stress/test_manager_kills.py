"""Managers under kills of their clients and of their server, in crowds, and over a hundred thousand proxies."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from collections.abc import Callable
from queue import Empty
from typing import Any

import pytest

from procession_core import OwnerDiedError, ServerDiedError
from procession_managers import SyncManager
from procession_process import ForkProcess

pytestmark = [pytest.mark.stress, pytest.mark.linux_only, pytest.mark.timeout(180)]
SEED = int(os.environ.get("PROCESSION_SEED", "1"))


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


# ---- clients that are killed -----------------------------------------------------------------------------------


class Shared:
    """What all clients of a campaign use."""

    def __init__(self, manager: SyncManager) -> None:
        self.manager = manager
        self.table = manager.dict()
        self.lock, self.rlock = manager.Lock(), manager.RLock()
        self.work, self.record = manager.Queue(), manager.Queue()
        self.condition = manager.Condition()
        self.semaphore = manager.Semaphore(3)


def step(rng: random.Random, shared: Shared, number: int) -> None:
    """One random use of the manager."""
    kind = rng.randrange(10)
    if kind == 0:
        shared.table[number] = rng.randbytes(rng.randrange(3000))
    elif kind == 1:
        kept = [shared.manager.list([number]) for _ in range(rng.randrange(4))]
        assert all(proxy[0] == number for proxy in kept)
    elif kind == 2:
        with shared.lock:
            shared.table["held"] = number
    elif kind == 3:
        with shared.rlock, shared.rlock:
            shared.table.get("held")
    elif kind == 4:
        shared.work.put(rng.randbytes(100))
    elif kind == 5:
        try:
            shared.work.get(timeout=0.005)
        except Empty:
            pass
    elif kind == 6:
        with shared.condition:
            shared.condition.notify_all()
            shared.condition.wait(0.002)
    elif kind == 7:
        with shared.semaphore:
            pass
    elif kind == 8:
        inner = shared.manager.dict()
        shared.table["inner"] = inner
        shared.table["inner"]["x"] = number
    else:
        with shared.table.batch() as batch:
            batch["a"] = number
            batch["b"] = number


def client(shared: Shared, number: int) -> None:
    rng = random.Random(SEED * 1_000_003 + number)
    count = 0
    while True:
        try:
            step(rng, shared, number)
        except (OwnerDiedError, KeyError):  # of a nested proxy that somebody else has replaced
            continue
        except Exception as error:
            # The table's inner proxy may be dropped between its arrival and its use.
            if "no such object" not in str(error):
                raise
        shared.record.put((number, count))
        count += 1


def available(lock: Any) -> bool:
    """Say whether the lock can be had, if need be after the news that its owner died."""
    try:
        if not lock.acquire(timeout=5):
            return False
    except OwnerDiedError:
        return False
    lock.release()
    return True


@pytest.mark.parametrize("family", ["unix", "tcp"])
def test_killed_clients(family: str, sample: bool) -> None:
    rng = random.Random(SEED)
    with SyncManager(None if family == "unix" else ("127.0.0.1", 0)) as manager:
        shared = Shared(manager)
        server = manager._process.pid
        start = manager._number_of_objects()
        numbers = iter(range(1 << 20))
        running: list[ForkProcess] = []

        def add() -> None:
            process = ForkProcess(target=client, args=(shared, next(numbers)), daemon=True)
            process.start()
            running.append(process)

        for _ in range(4):
            add()
        latest: dict[int, int] = {}

        def read_record() -> None:
            while True:
                try:
                    number, count = shared.record.get(timeout=0.0)
                except Empty:
                    return
                # What was answered is there, once and in order, whatever happens to the others.
                assert count == latest.get(number, -1) + 1, (number, count, latest.get(number))
                latest[number] = count

        for _ in range(40 if sample else 400):
            time.sleep(rng.random() * 0.04)
            victim = running.pop(rng.randrange(len(running)))
            assert victim.exitcode is None, f"a client failed: {victim.exitcode}"
            victim.kill()
            victim.join()
            add()
            read_record()
        for victim in running:
            assert victim.exitcode is None
            victim.kill()
            victim.join()
        read_record()
        shared.table.clear()
        until(
            lambda: manager._number_of_objects() == start,
            "the dead have left referents: " + manager._debug_info(),
        )
        for lock in (shared.lock, shared.rlock, shared.condition):
            until(lambda lock=lock: available(lock), f"{lock!r} is not to be had")  # type: ignore[misc]
        assert sum(latest.values()) > 0
        shared.work.put("last")
        until(lambda: shared.work.get(timeout=5) == "last", "the queue is not usable")
        until(lambda: descriptors(server) < 30, f"the server has {descriptors(server)} descriptors")
        until(lambda: threads(server) < 15, f"the server has {threads(server)} threads")


# ---- servers that are killed -----------------------------------------------------------------------------------


def client_until_the_end(shared: Shared, number: int, waits: bool) -> None:
    rng = random.Random(SEED + number)
    try:
        nothing = shared.manager.Queue()
        while True:
            step(rng, shared, number)
            if waits and rng.randrange(50) == 0:
                nothing.get()
    except ServerDiedError:
        os._exit(7)


def test_killed_server(sample: bool) -> None:
    rng = random.Random(SEED)
    for number in range(6 if sample else 60):
        manager = SyncManager()
        manager.start()
        shared = Shared(manager)
        clients = [ForkProcess(target=client_until_the_end, args=(shared, n, n % 2 == 1)) for n in range(4)]
        for process in clients:
            process.start()
        # One waits here, too.
        failures: list[BaseException] = []

        def wait(queue: Any = manager.Queue(), failures: list[BaseException] = failures) -> None:
            try:
                queue.get()
            except BaseException as error:
                failures.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(rng.random() * 0.2)
        manager._process.kill()
        for process in clients:
            process.join(30)
            assert process.exitcode == 7, f"round {number}: {process.exitcode}"
        waiter.join(30)
        assert [type(error) for error in failures] == [ServerDiedError]
        with pytest.raises(ServerDiedError, match="gone"):
            shared.table["x"] = 1
        manager.shutdown()


# ---- crowds ----------------------------------------------------------------------------------------------------


def take_one(queue: Any, answers: Any, number: int) -> None:
    answers.put((number, queue.get()))


def test_two_hundred_clients() -> None:
    with SyncManager() as manager:
        queue, answers = manager.Queue(), manager.Queue()
        server = manager._process.pid
        clients = [ForkProcess(target=take_one, args=(queue, answers, number)) for number in range(200)]
        for process in clients:
            process.start()
        until(lambda: descriptors(server) >= 200, "the clients have not come")
        # They wait without a thread each.
        assert threads(server) <= 15
        for number in range(200):
            queue.put(number)
        got = [answers.get(timeout=30) for _ in range(200)]
        for process in clients:
            process.join(30)
            assert process.exitcode == 0
        assert sorted(number for number, _ in got) == sorted(item for _, item in got) == list(range(200))
        until(lambda: descriptors(server) < 30, "their connections are still there")


def test_a_hundred_thousand_proxies(sample: bool) -> None:
    with SyncManager() as manager:
        server = manager._process.pid
        kept = manager.list()

        def make(number: int) -> None:
            for _ in range(number // 100):
                proxies = [manager.list([1]) for _ in range(50)] + [manager.dict() for _ in range(50)]
                assert proxies[0][0] == 1
                del proxies

        make(5_000)
        gc.collect()
        until(lambda: manager._number_of_objects() == 1, "dropped proxies have left referents")
        before, files = resident(server), descriptors(server)
        make(20_000 if sample else 100_000)
        gc.collect()
        until(lambda: manager._number_of_objects() == 1, "dropped proxies have left referents")
        grown = resident(server) - before
        assert grown < 1 << 20, f"the server has grown by {grown} bytes"
        assert descriptors(server) == files
        kept.append(1)
        assert len(kept) == 1
