"""Signals, with handlers and without, while every kind of call blocks."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from abuse_common import PATIENCE, fork, reap, require, square, take, until

import procession_connection
import procession_queues
import procession_synchronize as sync
from procession_pool import Pool


def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


def blocking_calls() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Name: (call that blocks, what another process does to let it end)."""
    lock, rlock, semaphore = sync.Lock(), sync.RLock(), sync.Semaphore(0)
    event, condition, barrier = sync.Event(), sync.Condition(), sync.Barrier(2)
    empty: Any = procession_queues.Queue()
    simple: Any = procession_queues.SimpleQueue()
    full: Any = procession_queues.Queue(1)
    joinable: Any = procession_queues.JoinableQueue()
    reading, writing = procession_connection.Pipe(False)
    holder_ready = sync.Event()
    release = {name: sync.Event() for name in ("lock", "rlock")}

    def hold(which: Any, name: str) -> None:
        which.acquire()
        holder_ready.set()
        release[name].wait(PATIENCE)
        which.release()

    def held(which: Any, name: str) -> Callable[[], Any]:
        def call() -> bool:
            return bool(which.acquire(True, PATIENCE))

        holder_ready.clear()
        release[name].clear()
        holders.append(fork(lambda: hold(which, name)))
        require(holder_ready.wait(PATIENCE), "no holder")
        return call

    def wait_condition() -> bool:
        with condition:
            return condition.wait(PATIENCE)

    def notify() -> None:
        with condition:
            condition.notify()

    full.put("first")
    joinable.put("one")
    return {
        "lock": (held(lock, "lock"), release["lock"].set),
        "rlock": (held(rlock, "rlock"), release["rlock"].set),
        "semaphore": (lambda: semaphore.acquire(True, PATIENCE), semaphore.release),
        "event": (lambda: event.wait(PATIENCE), event.set),
        "condition": (wait_condition, notify),
        "barrier": (lambda: barrier.wait(PATIENCE) >= 0, lambda: barrier.wait(PATIENCE)),
        "get": (lambda: empty.get(True, PATIENCE) == "item", lambda: empty.put("item")),
        "simple get": (lambda: simple.get() == "item", lambda: simple.put("item")),
        "put": (lambda: full.put("second", True, PATIENCE) is None, full.get),
        "join": (lambda: joinable.join() is not False, lambda: (joinable.get(), joinable.task_done())),
        "recv": (lambda: reading.recv() == "item", lambda: writing.send("item")),
    }


holders: list[int] = []


def settle_holders() -> None:
    while holders:
        reap(holders.pop())


def signal_storm(rng: random.Random, size: int) -> None:
    """A signal every millisecond, with a handler in Python, during each blocking call."""
    ticks = 0

    def tick(number: int, frame: Any) -> None:
        nonlocal ticks
        ticks += 1

    signal.signal(signal.SIGALRM, tick)
    for _ in range(size):
        for name, (call, let_go) in blocking_calls().items():
            helper = fork(lambda let_go=let_go: (time.sleep(0.15), let_go()))
            ticks = 0
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            try:
                begun = time.monotonic()
                require(call(), f"{name}: failed in the storm")
                spent = time.monotonic() - begun
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            require(ticks >= 5, f"{name}: {ticks} handler calls in {spent:.2f} s")
            require(spent < PATIENCE / 2, f"{name}: took {spent:.1f} s")
            require(reap(helper) == 0, f"{name}: the helper failed")
        settle_holders()
    with Pool(2) as pool:
        ticks = 0
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            for _ in range(5 * size):
                require(pool.apply_async(slow, (0.02,)).get(PATIENCE) == "done", "get() in the storm")
                require(pool.map(square, range(50)) == [x * x for x in range(50)], "map() in the storm")
                require(
                    list(pool.imap(square, range(50))) == [x * x for x in range(50)], "imap() in the storm"
                )
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        require(ticks >= 5, f"pool: {ticks} handler calls")


def deaths_in_a_storm(rng: random.Random, size: int) -> None:
    """A timer of 1 ms ends every sleep early; deaths are noticed all the same."""
    lock, tracked = sync.Lock(), sync.BoundedSemaphore(1, track_holders=True)
    condition, barrier = sync.Condition(), sync.Barrier(2)
    ready = sync.Event()

    def die_holding(take_it: Callable[[], Any]) -> int:
        def child() -> None:
            take_it()
            ready.set()
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGKILL)

        ready.clear()
        pid = fork(child)
        require(ready.wait(PATIENCE), "the child did not come")
        return pid

    def arrive() -> None:
        threading.Thread(target=lambda: barrier.wait(PATIENCE), daemon=True).start()
        until(lambda: barrier.n_waiting == 1, "the child does not wait")

    signal.signal(signal.SIGALRM, lambda number, frame: None)
    for _ in range(size):
        for what, take_it in {
            "lock": lock.acquire,
            "permit": tracked.acquire,
            "condition": condition.acquire,
            "barrier": arrive,
        }.items():
            pid = die_holding(take_it)
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            begun = time.monotonic()
            try:
                if what == "permit":
                    require(tracked.acquire(True, PATIENCE), "the permit of a dead holder is not to be had")
                    tracked.release()
                elif what == "barrier":
                    until(lambda: reap(pid) == -signal.SIGKILL, "")
                    try:
                        barrier.wait(PATIENCE)
                        raise AssertionError("a barrier lets the living pass with the dead")
                    except threading.BrokenBarrierError:
                        barrier.reset()
                else:
                    which = lock if what == "lock" else condition
                    require(not take(which), "no OwnerDiedError")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            require(time.monotonic() - begun < PATIENCE / 2, "a death was noticed only after the storm")
            if what != "barrier":
                reap(pid)


def interrupts(rng: random.Random, size: int) -> None:
    """Ctrl-C ends each blocking call at once, and what was waited for is usable afterwards."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parent = os.getpid()

    def interrupt() -> None:
        time.sleep(0.15)
        os.kill(parent, signal.SIGINT)

    def interrupted(name: str, call: Callable[[], Any]) -> None:
        helper = fork(interrupt)
        begun = time.monotonic()
        try:
            call()
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError(f"{name}: was not interrupted")
        spent = time.monotonic() - begun
        require(spent < 5, f"{name}: {spent:.1f} s from the start to the interrupt")
        require(reap(helper) == 0, "the helper failed")

    calls = blocking_calls()
    for name, (call, let_go) in calls.items():
        if name == "barrier":
            continue  # an interrupted party may break it
        interrupted(name, call)
        if name in ("lock", "rlock"):
            let_go()
            require(call(), f"{name}: not to be had after an interrupt")
    for name in ("get", "simple get", "event", "semaphore", "recv", "put"):
        calls[name][1]()
        require(calls[name][0](), f"{name}: does not work after an interrupt")
    settle_holders()
    with Pool(1) as pool:
        pending = pool.apply_async(slow, (1.0,))
        interrupted("AsyncResult.get", lambda: pending.get(PATIENCE))
        require(pending.get(PATIENCE) == "done", "a result is lost after an interrupt")
