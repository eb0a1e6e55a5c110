"""Kills forked workers that are held back, and their owners, at every step. Run by test_hold_steps.py.

A program of its own, because it needs the build of the core that dies on request. The steps of a worker are
counted from its fork on: on its way to sleep, asleep, on its way to its first task, at work, at its end. Those
of an owner from before it makes the pool: between two forks, between two releases. A worker costs at most the
task that it ran; an owner leaves no process, asleep or not, and no memory.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from killing import STRIDE, require, used

import procession_process
from procession_core import WorkerDiedError
from procession_native import core
from procession_pool import Pool

PATIENCE = 60.0
TASKS = 9
STEPS: dict[str, int] = {}
FORK = SimpleNamespace(Process=procession_process.ForkProcess)
RAN: Any = None
real_fork = os.fork


def task(i: int) -> int:
    memoryview(RAN)[i] += 1
    time.sleep(0.002)  # so that each worker gets some
    return i * i


def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        require(time.monotonic() < deadline, what())
        time.sleep(0.001)


def swept() -> bool:
    """Whether no other process is in the registry."""
    core.sweep()
    return len(core.processes()) == 1


def nobody_lives() -> bool:
    """Whether there are, at most, slots whose maker died in the middle of a fork: those are kept for ten seconds."""
    core.sweep()
    return all(p["state"] == "starting" and not p["pid"] for p in core.processes()[1:])


def sleeps(pid: int) -> bool:
    """Whether it has gone to sleep, or died on the way."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "SZ"
    except (FileNotFoundError, ProcessLookupError):
        return True


def arm_nth_fork(n: int, k: int) -> Callable[[], None]:
    """Let the child of the n-th fork from now die at its k-th step; returns what ends that."""
    made = 0

    def fork() -> int:
        nonlocal made
        made += 1
        core.fault_set_in_child(k if made == n else 0, signal.SIGKILL)
        pid = real_fork()
        if pid:
            core.fault_set_in_child(0, signal.SIGKILL)
        return pid

    def end() -> None:
        os.fork = real_fork

    os.fork = fork
    return end


def outcome(result: Any) -> Any:
    try:
        return result.get(PATIENCE)
    except WorkerDiedError:
        return None


def tasks(pool: Any) -> list[Any]:
    return [outcome(result) for result in [pool.apply_async(task, (i,)) for i in range(TASKS)]]


def one_by_one(pool: Any) -> list[Any]:
    return [outcome(pool.apply_async(task, (i,))) for i in range(TASKS)]


def mapped(pool: Any) -> list[Any]:
    found: list[Any] = []
    results = pool.imap(task, range(TASKS))
    while len(found) < TASKS:
        try:
            found.append(results.next(PATIENCE))
        except WorkerDiedError:
            found.append(None)
    return found


def nothing(pool: Any) -> list[Any]:
    return []


def workers(name: str, load: Callable[[Any], list[Any]], end: Callable[[Any], None]) -> None:
    """The second of three workers, which is held back, dies."""
    k = 1 - STRIDE
    deaths = 0
    base = -1
    ended = False
    while not ended:
        k += STRIDE if k < 60 else 7 * STRIDE
        label = f"{name}, step {k}"
        memoryview(RAN)[:] = bytes(TASKS)
        disarm = arm_nth_fork(2, k)
        try:
            pool = Pool(3, context=FORK)
        finally:
            disarm()
        victim = pool._pool[1]
        if load is nothing:
            until(lambda: sleeps(victim.pid), lambda: f"{label}: runs on")  # noqa: B023
        found = load(pool)
        end(pool)
        pool.join()
        code = victim.exitcode
        ended = code != -signal.SIGKILL
        gone = [i for i, value in enumerate(found) if value is None]
        require(len(gone) <= (not ended), f"{label}: the tasks {gone} are lost, exit code {code}")
        require(all(value in (None, i * i) for i, value in enumerate(found)), f"{label}: {found}")
        times = list(memoryview(RAN))
        require(max(times) <= 1, f"{label}: ran more than once: {times}")
        require(core.check() is None, f"{label}: {core.check()}")
        deaths += 1
        del pool, victim
        until(swept, lambda: f"{label}: {core.processes()}")  # noqa: B023
        if base < 0 and deaths > 3:
            base = used()
    grown = used() - base
    require(base < 0 or grown < 4096, f"{name}: {grown} bytes are not given back after {deaths} deaths")
    STEPS[name] = deaths - 1
    print(name, deaths - 1, k, file=sys.stderr, flush=True)


def close(pool: Any) -> None:
    pool.close()


def terminate(pool: Any) -> None:
    pool.terminate()


def owner(name: str, load: Callable[[Any], list[Any]], end: Callable[[Any], None]) -> None:
    k = 1 - STRIDE
    deaths = 0
    code = -signal.SIGKILL
    begun = used()
    while code:
        k += STRIDE if k < 40 else 9 * STRIDE
        deaths += 1
        memoryview(RAN)[:] = bytes(TASKS)
        label = f"{name}, step {k}"
        clean, start = swept(), used()
        alive, held = os.pipe()  # the read end tells when the last process of the pool is gone
        pid = os.fork()
        if pid == 0:
            os.close(alive)
            core.fault_set_in_child(1 << 40, signal.SIGKILL)  # the workers do not die with it
            core.fault_set(k)
            pool = Pool(3, context=FORK)
            load(pool)
            end(pool)
            pool.join()
            core.fault_set(0)
            os._exit(0)
        os.close(held)
        _, status = os.waitpid(pid, 0)
        core.note_exit(pid, status)
        code = os.waitstatus_to_exitcode(status)
        require(code in (0, -signal.SIGKILL), f"{label}: exit code {code}")
        ready = select.select([alive], [], [], PATIENCE)[0]
        require(ready, f"{label}: workers live on: {core.processes()}")
        os.close(alive)
        until(nobody_lives, lambda: f"{label}: {core.processes()}")  # noqa: B023
        left = used() - start
        require(left == 0 or not (clean and swept()), f"{label}: {left} bytes are not given back")
        require(core.check() is None, f"{label}: {core.check()}")
    until(swept, lambda: f"{name}: {core.processes()}")
    left = used() - begun
    require(left == 0, f"{name}: {left} bytes are not given back")
    STEPS[name] = deaths - 1
    print(name, deaths - 1, k, file=sys.stderr, flush=True)


def main() -> None:
    global RAN
    core.ensure()
    RAN = core.Block(TASKS, zero=True)
    workers("worker, tasks at once", tasks, close)
    workers("worker, tasks one by one", one_by_one, close)
    workers("worker without a task, closed", nothing, close)
    workers("worker without a task, terminated", nothing, terminate)
    owner("owner, imap", mapped, close)
    owner("owner, tasks at once", tasks, terminate)
    owner("owner without a task, closed", nothing, close)
    owner("owner without a task, terminated", nothing, terminate)
    print(json.dumps(STEPS))


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(str(error))
