"""Lets many sleep on one thing, without a look from time to time. Run by test_wake_steps.py.

A program of its own, because it needs the build of the core whose sleepers sleep on until somebody wakes them.
In the usual one they look for deaths after a time slice, and that would hide a wake-up that went to the wrong
one, or to nobody. Each sleeper that has got something keeps it, and does nothing else, until all the others
have got theirs too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from killing import require

import procession_synchronize as sync
from procession_connection import Pipe, wait
from procession_native import core
from procession_queues import Queue

ROUNDS = 8
SLEEPERS = 3
PATIENCE = 20
STEPS: dict[str, int] = {}
NAME = ""


def late(number: int, frame: object) -> None:
    sys.exit(f"{NAME}: a sleeper was not woken")


def asleep(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def run(name: str, sleep: Callable[[], Any], wake: Callable[[int], Any], woken: int = SLEEPERS,
        after: Callable[[], Any] = int) -> None:  # fmt: skip
    """*wake* is called with the round's number; then *woken* sleepers must come back, and *after* is called."""
    global NAME
    NAME = name
    told_in, told_out = os.pipe()
    go: list[tuple[int, int]] = [os.pipe() for _ in range(SLEEPERS)]
    children = []
    for number in range(SLEEPERS):
        pid = os.fork()
        if not pid:
            try:
                while True:
                    sleep()
                    os.write(told_out, bytes([number]))
                    os.read(go[number][0], 1)  # stays away until the others have got theirs
            finally:
                os._exit(1)
        children.append(pid)
    try:
        for number in range(ROUNDS):
            signal.alarm(PATIENCE)
            for pid in children:
                while not asleep(pid):
                    time.sleep(0.0005)
            time.sleep(0.002)  # past what comes between spinning and sleep
            wake(number)
            back: list[int] = []
            while len(back) < woken:
                back += os.read(told_in, SLEEPERS)
            require(len(set(back)) == len(back) == woken, f"{name}: {back}")
            after()
            for one in back:
                os.write(go[one][1], b"g")
        signal.alarm(0)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            core.note_exit(pid, os.waitpid(pid, 0)[1])
        for fd in (told_in, told_out, *(end for pair in go for end in pair)):
            os.close(fd)
    STEPS[name] = ROUNDS
    print(name, file=sys.stderr, flush=True)


def pipes() -> None:
    for duplex in (True, False):
        for count in (2, 3):
            for how in ("recv", "poll", "wait"):
                reader, writer = Pipe(duplex)
                others = [Pipe()[0] for _ in range(2)]

                def sleep(reader: Any = reader, how: str = how, others: Any = others) -> Any:
                    while how != "recv":
                        if how == "poll":
                            reader.poll(None)
                        else:
                            wait([*others, reader])
                        with suppress(BlockingIOError):
                            if reader.poll(0):
                                break
                    return reader.recv()

                def wake(number: int, writer: Any = writer, count: int = count) -> None:
                    for one in range(count):
                        writer.send((number, one))

                run(f"{'duplex' if duplex else 'simplex'} {how}, {count} messages", sleep, wake, count)


def queues() -> None:
    queue = Queue()
    for count in (2, 3):
        run(f"queue, {count} items", queue.get, lambda n, c=count: [queue.put(i) for i in range(c)], count)
    full = Queue(1)
    full.put(0)
    run("full queue", lambda: full.put(1), lambda n: [full.get() for _ in range(3)])


def locks() -> None:
    lock = sync.Lock()
    lock.acquire()

    def pass_on() -> None:
        lock.acquire()
        lock.release()

    run("lock", pass_on, lambda n: lock.release(), after=lock.acquire)
    semaphore = sync.Semaphore(0)
    run("semaphore", semaphore.acquire, lambda n: [semaphore.release() for _ in range(3)])
    condition = sync.Condition()

    def await_notice() -> None:
        with condition:
            condition.wait()

    def notify(number: int) -> None:
        with condition:
            if number % 2:
                condition.notify_all()
            else:
                condition.notify(3)

    run("condition", await_notice, notify)
    event = sync.Event()

    def flash(number: int) -> None:
        event.set()
        event.clear()

    run("event", event.wait, flash)
    barrier = sync.Barrier(4)
    run("barrier", barrier.wait, lambda n: barrier.wait())


core.ensure()
signal.signal(signal.SIGALRM, late)
core.fault_endless_slices(True)
pipes()
queues()
locks()
print(json.dumps(STEPS))
