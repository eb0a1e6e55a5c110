"""Kills members of whole process trees at random: workers, managers' servers, fork servers, children with locks.

Run by test_tree_kills.py: ``tree_kills.py SEED SECONDS``.  Whoever dies, nobody may hang, and at the end no process,
thread, descriptor or byte of the arena may be left.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
from typing import Any

import procession
from procession_native import core

PATIENCE = 30.0


def require(truth: Any, what: str) -> None:
    if not truth:
        raise AssertionError(what)


def square(x: int) -> int:
    return x * x


def use(queue: Any, condition: Any) -> None:
    while True:
        queue.put("x")
        try:
            with condition:
                condition.notify()
                condition.wait(0.001)
            queue.get(timeout=0.01)
            queue.task_done()
        except (procession.ProcessError, procession.queues.Empty):
            continue


def one_round(rng: random.Random) -> int:
    context: Any = procession.get_context(rng.choice(["fork", "spawn", "forkserver"]))
    queue, lock = context.JoinableQueue(), context.RLock()
    condition = context.Condition(lock)
    pool, manager = context.Pool(3), context.Manager()
    shared = manager.dict()
    children = [context.Process(target=use, args=(queue, condition)) for _ in range(3)]
    for child in children:
        child.start()
    result = pool.map_async(square, range(3000), 1)
    kills = 0
    for _ in range(6):
        time.sleep(rng.random() * 0.05)
        os.kill(rng.choice([child.pid for child in procession.active_children()]), signal.SIGKILL)
        kills += 1
    result.wait(PATIENCE)
    require(result.ready(), "the pool's map does not end")
    try:
        shared["x"] = 1
    except (procession.ProcessError, EOFError, OSError):
        pass
    for child in children:
        child.kill()
        child.join(PATIENCE)
        require(not child.is_alive(), "a killed child is alive")
    try:
        require(lock.acquire(timeout=PATIENCE), f"{lock!r} is not to be had")
        lock.release()
    except procession.ProcessError:
        require(lock.acquire(timeout=PATIENCE), "the lock of a dead owner is not to be had")
        lock.release()
    while not queue.empty():
        queue.get(timeout=PATIENCE)
    pool.terminate()
    pool.join()
    manager.shutdown()
    return kills


def settle() -> tuple[int, int, int, int]:
    gc.collect()
    core.sweep()
    core.sweep()
    descriptors = len(os.listdir("/proc/self/fd"))
    return descriptors, threading.active_count(), core.memory()["used"], len(procession.active_children())


def main(seed: int, seconds: float) -> None:
    rng = random.Random(seed)
    for method in ("fork", "spawn", "forkserver"):
        with procession.get_context(method).Pool(1) as pool:
            pool.apply(square, (2,))
        pool.join()
    one_round(rng)
    before = settle()
    kills = rounds = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        kills += one_round(rng)
        rounds += 1
    after = settle()
    require(core.check() is None, f"{core.check()}")
    require(after[0] <= before[0] + 3, f"descriptors, threads, bytes, children: {before}, then {after}")
    require(after[1:] <= before[1:], f"descriptors, threads, bytes, children: {before}, then {after}")
    print(f"{kills} kills in {rounds} rounds; descriptors, threads, bytes, children: {before}, then {after}")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
