"""Kills workers and owners of pools at every store of the pool's channels.  Run by test_channel_steps.py.

A program of its own, because it needs the build of the core that dies on request.  A worker that dies at its k-th store
costs at most the task that it ran, no task runs twice, and the pool goes on; an owner that dies leaves no worker and no
memory.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from killing import require, used

from procession_core import WorkerDiedError
from procession_native import core
from procession_pool import Pool

PATIENCE = 60.0
TASKS = 40
STEPS: dict[str, int] = {}
RAN: Any = None


def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        require(time.monotonic() < deadline, what())
        time.sleep(0.002)


def arm(k: int) -> int:
    core.fault_set(k)
    return os.getpid()


def disarm() -> int:
    core.fault_set(0)
    return os.getpid()


def small(i: int) -> int:
    memoryview(RAN)[i] += 1
    return i * i


def pair(i: int, j: int) -> int:
    memoryview(RAN)[i] += 1
    return i * i + j


def large(i: int) -> bytes:
    memoryview(RAN)[i] += 1
    return b"%d " % i + b"x" * 50_000


def bad(i: int) -> int:
    memoryview(RAN)[i] += 1
    raise ValueError(i)


def outcome(result: Any) -> Any:
    try:
        return result.get(PATIENCE)
    except WorkerDiedError:
        return None
    except ValueError as error:
        return error


def through_imap(function: Any, chunksize: int) -> Callable[[Any], list[Any]]:
    def run(pool: Any) -> list[Any]:
        found: list[Any] = []
        results = pool.imap(function, range(TASKS), chunksize)
        while len(found) < TASKS:
            try:
                found.append(results.next(PATIENCE))
            except WorkerDiedError:
                found.extend([None] * chunksize)
            except ValueError as error:
                found.append(error)
        return found

    return run


def singly(function: Any, extra: tuple[Any, ...] = ()) -> Callable[[Any], list[Any]]:
    def run(pool: Any) -> list[Any]:
        return [outcome(result) for result in [pool.apply_async(function, (i, *extra)) for i in range(TASKS)]]

    return run


def one_by_one(pool: Any) -> list[Any]:
    """The worker sleeps between the tasks."""
    return [outcome(pool.apply_async(small, (i,))) for i in range(8)]


def workers(
    name: str, load: Callable[[Any], list[Any]], right: Callable[[int], Any], lost: int = 1, stride: int = 1
) -> None:
    """*lost* is how many tasks one death may cost: those of the chunk that ran."""
    global RAN
    RAN = core.Block(TASKS, zero=True)
    pool = Pool(1)
    k = deaths = 0
    ended = False
    base = -1
    while not ended:
        k += 1 if k < 150 else stride
        memoryview(RAN)[:] = bytes(TASKS)
        try:
            armed = pool.apply_async(arm, (k,)).get(PATIENCE)
        except WorkerDiedError:
            armed = 0
        found = load(pool)
        while True:
            try:
                last = pool.apply_async(disarm).get(PATIENCE)
                break
            except WorkerDiedError:
                continue
        ended = armed == last
        gone = [i for i, value in enumerate(found) if value is None]
        require(len(gone) <= lost, f"{name}, step {k}: the tasks {gone} are lost")
        for i, value in enumerate(found):
            if value is not None:
                want = right(i)
                same = str(value) == str(want) if isinstance(want, ValueError) else value == want
                require(same, f"{name}, step {k}: task {i} gave {value!r:.60}")
        twice = [i for i, times in enumerate(memoryview(RAN)) if times > 1]
        require(not twice, f"{name}, step {k}: the tasks {twice} ran more than once")
        require(not pool._cache, f"{name}, step {k}: the pool remembers {pool._cache}")
        require(core.check() is None, f"{name}, step {k}: {core.check()}")
        deaths += 1
        if k == 8:
            base = used()
    grown = used() - base
    require(base < 0 or grown < 4096, f"{name}: {grown} bytes are not given back after {k} deaths")
    pool.close()
    pool.join()
    STEPS[name] = deaths - 1


def owner(name: str, load: Callable[[Any], list[Any]]) -> None:
    k = deaths = 0
    code = -signal.SIGKILL
    while code:
        k += 1 if k < 20 else 7
        deaths += 1
        start = used()
        pid = os.fork()
        if pid == 0:
            pool = Pool(2)
            pool.map(abs, range(10), 1)
            core.fault_set(k)
            load(pool)
            core.fault_set(0)
            pool.terminate()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        core.note_exit(pid, status)
        code = os.waitstatus_to_exitcode(status)
        require(code in (0, -signal.SIGKILL), f"{name}, step {k}: exit code {code}")
        until(
            lambda: core.sweep() >= 0 and len(core.processes()) == 1,
            lambda: f"{name}, step {k}: workers without an owner: {core.processes()}",
        )
        left = used() - start
        require(left == 0, f"{name}, step {k}: {left} bytes are not given back")
        require(core.check() is None, f"{name}, step {k}: {core.check()}")
    STEPS[name] = deaths - 1


def main() -> None:
    core.ensure()
    short = os.environ.get("PROCESSION_SAMPLE") == "1"
    workers("tasks one by one", one_by_one, lambda i: i * i)
    workers("apply_async", singly(small), lambda i: i * i)
    workers("imap", through_imap(small, 1), lambda i: i * i)
    workers("tasks that raise", singly(bad), lambda i: ValueError(i))
    if not short:
        workers("imap in chunks", through_imap(small, 8), lambda i: i * i, lost=8)
        workers("two arguments", singly(pair, (7,)), lambda i: i * i + 7)
        workers("large results", singly(large), lambda i: b"%d " % i + b"x" * 50_000, stride=23)
    global RAN
    RAN = core.Block(TASKS, zero=True)
    owner("owner killed in imap", through_imap(small, 1))
    if not short:
        owner("owner killed with large results", singly(large))
    print(json.dumps(STEPS))


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(str(error))
