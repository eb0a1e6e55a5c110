"""Random kills of processes that use synchronisation objects.  Run by test_sync_kills.py.

N workers use M objects of every kind; a seeded random one is killed at a random moment and replaced.  At the end the
survivors are asked to stop.  Nobody may hang, no notification, permit or wake-up may be lost to the living, nothing may
leak.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import threading
import time
from typing import Any

import procession_synchronize as sync
from procession_core import OwnerDiedError
from procession_native import core

PATIENCE = 30.0
STARTING = 10.0  # START_GRACE_NS of registry.h


class Hang(AssertionError):
    """Something that had to come did not come in time."""


class Arena:
    """The objects that all workers share."""

    def __init__(self, workers: int) -> None:
        self.locks = [sync.Lock() for _ in range(3)]
        self.rlocks = [sync.RLock() for _ in range(2)]
        self.tracked = sync.BoundedSemaphore(2, track_holders=True)
        self.event = sync.Event()
        self.conditions = [sync.Condition(sync.Lock()), sync.Condition()]
        self.barrier = sync.Barrier(2)
        self.stop = sync.Event()
        self.progress = [sync.Semaphore(0) for _ in range(workers)]


def hold(lock: Any) -> bool:
    try:
        if not lock.acquire(True, PATIENCE):
            raise Hang(f"{lock!r} is not to be had")
    except OwnerDiedError:
        return False
    return True


def work(shared: Arena, number: int, seed: int) -> None:
    rng = random.Random(seed)
    while not shared.stop.is_set():
        what = rng.randrange(7)
        if what == 0:
            lock = rng.choice(shared.locks)
            if hold(lock):
                lock.release()
        elif what == 1:
            lock = rng.choice(shared.rlocks)
            if hold(lock):
                if hold(lock):
                    lock.release()
                lock.release()
        elif what == 2:
            if not shared.tracked.acquire(True, PATIENCE):
                raise Hang("a tracked permit is not to be had")
            shared.tracked.release()
        elif what == 3:
            if rng.random() < 0.5:
                shared.event.set()
            else:
                shared.event.clear()
            shared.event.wait(0.001)
        elif what == 4:
            cond = rng.choice(shared.conditions)
            if hold(cond):
                try:
                    cond.wait(rng.random() * 0.003)
                except OwnerDiedError:
                    pass
                cond.release()
        elif what == 5:
            cond = rng.choice(shared.conditions)
            if hold(cond):
                cond.notify(rng.randrange(1, 4))
                cond.release()
        else:
            try:
                shared.barrier.wait(0.002)
            except threading.BrokenBarrierError:
                shared.barrier.reset()
        shared.progress[number].release()


def start(shared: Arena, number: int, seed: int) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(shared, number, seed)
            code = 0
        except BaseException as error:
            print(f"worker {number}: {error!r}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return pid


def reap(pid: int, expected: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        got, status = os.waitpid(pid, os.WNOHANG)
        if got:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise Hang(f"worker {pid} does not end")
        time.sleep(0.0005)
    core.note_exit(pid, status)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, expected):
        raise AssertionError(f"worker {pid} ended with {code}")


def check_notifications(shared: Arena) -> None:
    """Each of some live waiters gets its notification, among the entries that dead ones left."""
    for cond in shared.conditions:
        woken: list[Any] = []

        def wait() -> None:
            with cond:
                woken.append(cond.wait(PATIENCE))

        if hold(cond):
            cond.release()
        group = [threading.Thread(target=wait) for _ in range(3)]
        for thread in group:
            thread.start()
        deadline = time.monotonic() + PATIENCE
        while sum(thread.is_alive() for thread in group):
            if time.monotonic() > deadline:
                raise Hang("a live waiter is not notified")
            with cond:
                cond.notify(3)
            time.sleep(0.001)
        if woken != [True] * 3:
            raise AssertionError(f"wait gave {woken}")
        with cond:
            cond.notify_all()
            if cond._waiters():
                raise AssertionError("a dead waiter is still counted")


def struggle(kills: int, workers: int, seed: int) -> int:
    """All of it but the question what is left; returns how many operations there were."""
    rng = random.Random(seed)
    shared = Arena(workers)
    pids = [start(shared, number, rng.random()) for number in range(workers)]
    for _ in range(kills):
        # Sometimes at once, in the middle of its birth; mostly in the middle of its work.
        if rng.random() < 0.9:
            time.sleep(rng.random() * 0.004)
        number = rng.randrange(workers)
        os.kill(pids[number], signal.SIGKILL)
        if rng.random() < 0.8:
            reap(pids[number], -signal.SIGKILL)
            dead = None
        else:  # replaced before anybody has waited for it: a zombie must count as dead
            dead = pids[number]
        pids[number] = start(shared, number, rng.random())
        if dead is not None:
            time.sleep(rng.random() * 0.004)
            reap(dead, -signal.SIGKILL)
    # All of those who live still get on.
    marks = [p.get_value() for p in shared.progress]
    deadline = time.monotonic() + PATIENCE
    while any(p.get_value() == mark for p, mark in zip(shared.progress, marks)):
        if time.monotonic() > deadline:
            raise Hang(f"a worker does not get on: {[repr(lock) for lock in shared.locks]}")
        time.sleep(0.001)
    shared.stop.set()
    for pid in pids:
        reap(pid, 0)
    operations = sum(p.get_value() for p in shared.progress)
    check_notifications(shared)
    for lock in [*shared.locks, *shared.rlocks]:
        while not hold(lock):
            pass
        lock.release()
    for _ in range(2):
        if not shared.tracked.acquire(True, PATIENCE):
            raise AssertionError("a dead holder's permit is lost")
    return operations


def campaign(kills: int, workers: int, seed: int) -> dict[str, Any]:
    core.ensure()
    sync.Lock()
    gc.collect()
    before = core.memory()["used"]
    operations = struggle(kills, workers, seed)
    gc.collect()
    # A child that was killed before it had said its pid is known to be dead only when its time to start is over.
    deadline = time.monotonic() + 2 * STARTING
    while core.memory()["used"] > before and time.monotonic() < deadline:
        core.sweep()
        time.sleep(0.05)
    leaked = core.memory()["used"] - before
    if leaked > 0:
        raise AssertionError(f"{leaked} bytes leaked")
    if core.check() is not None:
        raise AssertionError(core.check())
    return {"kills": kills, "operations": operations, "repairs here": core.memory()["repairs"]}


if __name__ == "__main__":
    print(json.dumps(campaign(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
