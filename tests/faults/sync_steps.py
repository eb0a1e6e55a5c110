"""Kills a process at every store of every operation on synchronisation objects.  Run by test_sync_steps.py.

A program of its own, because it needs the build of the core that dies on request.  For each scenario and each
k = 1, 2, … a forked child arms the k-th fault point, runs the operation and dies there; the survivors must then find
a valid, live and leak-free structure.  It ends with the first k that the operation does not reach.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from killing import STRIDE, reap, require, used

import procession_synchronize as sync
from procession_core import OwnerDiedError
from procession_native import core

PATIENCE = 20.0
warnings.simplefilter("always")


def forked(operation: Callable[[], Any], k: int) -> tuple[int, int]:
    """A child that runs the operation and dies at its k-th store; its pid."""
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            core.fault_set(k)
            operation()
            core.fault_set(0)
            code = 0
        except OwnerDiedError:
            core.fault_set(0)
            code = 0
        finally:
            os._exit(code)
    return pid, k


def die_holding(take: Callable[[], Any]) -> None:
    """A child that takes something and is killed."""
    pid = os.fork()
    if pid == 0:
        take()
        os.kill(os.getpid(), signal.SIGKILL)
    reap(pid)


class Waiter:
    """A thread of the survivor that waits for something."""

    def __init__(self, wait: Callable[[], Any]) -> None:
        self.result: Any = None

        def run() -> None:
            try:
                self.result = wait()
            except BaseException as error:
                self.result = error

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def join(self, seconds: float = PATIENCE) -> bool:
        self.thread.join(seconds)
        return not self.thread.is_alive()


def take(lock: Any) -> None:
    """Acquire it, past an owner's death that is told at most once."""
    try:
        require(lock.acquire(True, PATIENCE), "a lock is not to be had after a death")
    except OwnerDiedError:
        require(lock.acquire(True, PATIENCE), "a lock is not free after OwnerDiedError")


def take_for_condition(cond: Any) -> None:
    take(cond)


def usable(lock: Any) -> None:
    take(lock)
    lock.release()
    require(not lock.locked(), "locked after its release")
    require(lock.acquire(False), "not to be had at once")
    lock.release()


# -- scenarios: generators that yield the child's operation, and check after its death ---------------------------------


def lock() -> Any:
    mutex = sync.Lock()
    yield lambda: (mutex.acquire(), mutex.release())
    usable(mutex)


def rlock() -> Any:
    mutex = sync.RLock()
    yield lambda: (mutex.acquire(), mutex.acquire(), mutex.release(), mutex.release())
    usable(mutex)


def lock_recover() -> Any:
    mutex = sync.Lock(on_owner_death="recover")
    yield lambda: (mutex.acquire(), mutex.release())
    with warnings.catch_warnings(record=True):
        require(mutex.acquire(True, PATIENCE), "not recovered")
    mutex.release()
    usable(mutex)


def lock_taken_over() -> Any:
    mutex = sync.Lock()
    die_holding(mutex.acquire)

    def operation() -> None:
        try:
            mutex.acquire()
        except OwnerDiedError:
            pass
        mutex.acquire()
        mutex.release()

    yield operation
    usable(mutex)


def lock_contended() -> Any:
    """The child waits for a lock that is given up while it waits."""
    mutex = sync.Lock()
    mutex.acquire()
    timer = threading.Timer(0.01, mutex.release)
    timer.start()
    yield lambda: (mutex.acquire(), mutex.release())
    timer.join()
    usable(mutex)


def semaphore() -> Any:
    s = sync.Semaphore(2)
    yield lambda: (s.acquire(), s.release())
    value = s.get_value()
    require(value in (1, 2), f"value {value}")
    s.release()
    require(s.get_value() == value + 1, "a release that does not count")


def semaphore_release_to_a_sleeper() -> Any:
    s = sync.Semaphore(0)
    waiter = Waiter(lambda: s.acquire(True, PATIENCE))
    time.sleep(0.002)
    yield lambda: s.release()
    if not waiter.join(0.3):
        require(s.get_value() == 0, "a permit is to be had and a sleeper does not take it")
        s.release()
    require(waiter.join() and waiter.result is True, "the sleeper was not woken")


def semaphore_waiting() -> Any:
    s = sync.Semaphore(0)
    yield lambda: s.acquire(True, 0.01)
    s.release()
    require(s.acquire(True, PATIENCE), "a killed waiter took the permit")


def semaphore_tracked() -> Any:
    s = sync.BoundedSemaphore(3, track_holders=True)
    yield lambda: (s.acquire(), s.acquire(), s.release(), s.release())
    for _ in range(3):
        require(s.acquire(True, PATIENCE), "a dead holder's permit is lost")
    require(not s.acquire(False), "a permit too many")
    for _ in range(3):
        s.release()
    require(s.get_value() == 3, "a permit is lost")


def semaphore_inherited() -> Any:
    s = sync.BoundedSemaphore(1, track_holders=True)
    die_holding(s.acquire)
    yield lambda: (s.acquire(), s.release())
    require(s.acquire(True, PATIENCE), "a dead holder's permit is lost")
    s.release()


def event_set() -> Any:
    e = sync.Event()
    waiter = Waiter(lambda: e.wait(PATIENCE))
    time.sleep(0.002)
    yield e.set
    if not e.is_set():
        e.set()
    require(waiter.join() and waiter.result is True, "a waiter of an event was not woken")


def event_clear() -> Any:
    e = sync.Event()
    e.set()
    yield e.clear
    e.set()
    require(e.wait(0), "not set")
    e.clear()
    require(not e.is_set(), "not cleared")


def event_wait() -> Any:
    e = sync.Event()
    yield lambda: e.wait(0.01)
    waiter = Waiter(lambda: e.wait(PATIENCE))
    e.set()
    require(waiter.join() and waiter.result is True, "a waiter of an event was not woken")


def condition_wait(kind: Any) -> Any:
    def scenario() -> Any:
        c = sync.Condition(kind())

        def operation() -> None:
            with c:
                c.wait(0.005)

        yield operation
        check_condition(c)

    return scenario


def check_condition(c: Any, waiters: int = 1) -> None:
    """A live waiter gets one notification, whatever dead ones are before it."""

    def wait() -> Any:
        take_for_condition(c)
        try:
            return c.wait(PATIENCE)
        finally:
            c.release()

    group = [Waiter(wait) for _ in range(waiters)]
    deadline = time.monotonic() + PATIENCE
    while sum(not w.join(0) for w in group) and c._waiters() < waiters:
        require(time.monotonic() < deadline, "the waiter does not come to wait")
        time.sleep(0.0005)
    take_for_condition(c)
    c.notify(waiters)
    c.release()
    for waiter in group:
        require(waiter.join(), "a dead waiter has eaten a notification")
        require(waiter.result is True, f"wait gave {waiter.result!r}")
    take_for_condition(c)
    c.notify_all()
    require(c._waiters() == 0, "a dead waiter is still counted")
    c.release()


def condition_notify() -> Any:
    c = sync.Condition(sync.Lock())

    def wait() -> Any:
        with c:
            return c.wait(PATIENCE)

    waiter = Waiter(wait)
    while c._waiters() == 0:
        time.sleep(0.0005)

    def operation() -> None:
        with c:
            c.notify()

    yield operation
    if c._waiters():
        take(c)
        c.notify()
        c.release()
    # Where the notifier died holding the lock, the waiter is the one that is told, and holds the lock then.
    require(waiter.join(), "a notified waiter sleeps on")
    require(
        waiter.result is True or isinstance(waiter.result, OwnerDiedError), f"wait gave {waiter.result!r}"
    )
    check_condition(c)


def condition_of_many() -> Any:
    """More waiters than fit into the first block: the child makes it grow."""
    c = sync.Condition(sync.Lock())

    def wait() -> Any:
        with c:
            return c.wait(PATIENCE)

    group = [Waiter(wait) for _ in range(6)]
    while c._waiters() < 6:
        time.sleep(0.0005)

    def operation() -> None:
        with c:
            c.wait(0.005)

    yield operation
    take(c)
    c.notify_all()
    c.release()
    for waiter in group:
        require(waiter.join() and waiter.result is True, "a waiter sleeps on")
    check_condition(c, 8)


def barrier_arrival() -> Any:
    b = sync.Barrier(2)

    def operation() -> None:
        try:
            b.wait(0.01)
        except threading.BrokenBarrierError:
            pass

    yield operation
    check_barrier(b)


def barrier_last() -> Any:
    b = sync.Barrier(2)
    waiter = Waiter(lambda: b.wait(PATIENCE))
    while b.n_waiting == 0:
        time.sleep(0.0005)
    yield lambda: b.wait(PATIENCE)
    if not waiter.join(1.0):
        require(b.n_waiting == 1 and not b.broken, "the barrier forgot one who waits")
        Waiter(lambda: b.wait(PATIENCE)).join()
    require(waiter.join(), "a waiter of a barrier hangs")
    require(isinstance(waiter.result, int | threading.BrokenBarrierError), f"wait gave {waiter.result!r}")
    check_barrier(b)


def barrier_with_action() -> Any:
    b = sync.Barrier(2, action=lambda: None)
    waiter = Waiter(lambda: b.wait(PATIENCE))
    while b.n_waiting == 0:
        time.sleep(0.0005)
    yield lambda: b.wait(PATIENCE)
    if not waiter.join(1.0):
        Waiter(lambda: b.wait(PATIENCE)).join()
    require(waiter.join(), "a waiter of a barrier hangs")
    check_barrier(b)


def barrier_abort() -> Any:
    b = sync.Barrier(2)
    waiter = Waiter(lambda: b.wait(PATIENCE))
    while b.n_waiting == 0:
        time.sleep(0.0005)
    yield lambda: (b.abort(), b.reset())
    b.abort()
    require(waiter.join(), "a waiter of an aborted barrier hangs")
    check_barrier(b)


def check_barrier(b: Any) -> None:
    b.reset()
    require(not b.broken and b.n_waiting == 0, "a reset barrier is not whole")
    waiters = [Waiter(lambda: b.wait(PATIENCE)) for _ in range(2)]
    for waiter in waiters:
        require(waiter.join(), "a barrier hangs")
    require(sorted(w.result for w in waiters) == [0, 1], f"{[w.result for w in waiters]}")


def creation(make: Callable[[], Any]) -> Any:
    def scenario() -> Any:
        def operation() -> None:
            made = [make() for _ in range(3)]
            made.clear()
            gc.collect()

        yield operation

    return scenario


def opening() -> Any:
    """The child opens a second handle and drops it."""
    mutex = sync.RLock()
    c = sync.Condition(mutex)
    handle, pair = mutex.handle(), (c.handle(), mutex)

    def operation() -> None:
        other = sync.RLock._open(handle)
        again = sync.Condition._open(pair)
        del other, again

    yield operation
    usable(mutex)


# -- branches that no single operation reaches -------------------------------------------------------------------------


def stopped_waiter(c: Any) -> int:
    """A child asleep in wait(), stopped there."""
    before = c._waiters()
    pid = os.fork()
    if pid == 0:
        with c:
            c.wait()
        os._exit(0)
    while c._waiters() == before:
        time.sleep(0.0005)
    time.sleep(0.01)
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    return pid


def notification_of_the_dead() -> None:
    """A notified waiter that dies before it wakes leaves its notification to another."""
    c = sync.Condition(sync.Lock())
    pid = stopped_waiter(c)

    def wait() -> Any:
        with c:
            return c.wait(PATIENCE)

    waiter = Waiter(wait)
    while c._waiters() < 2:
        time.sleep(0.0005)
    with c:
        c.notify()
    require(c._waiters() == 1, "the first to wait was not the first to be notified")
    os.kill(pid, signal.SIGKILL)
    reap(pid)
    require(waiter.join(), "the notification died with its receiver")
    require(waiter.result is True, f"wait gave {waiter.result!r}")


def notification_passed_on() -> None:
    """The same, found by one who needs the entry."""
    c = sync.Condition(sync.Lock())
    pid = stopped_waiter(c)

    def wait() -> Any:
        with c:
            return c.wait(PATIENCE)

    group = [Waiter(wait) for _ in range(5)]
    while c._waiters() < 6:
        time.sleep(0.0005)
    with c:
        c.notify()
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        # All six entries are taken: the seventh waiter looks for the dead.
        c.wait(0.0)
    deadline = time.monotonic() + PATIENCE
    while all(not w.join(0) for w in group):
        require(time.monotonic() < deadline, "the notification died with its receiver")
        time.sleep(0.001)
    with c:
        c.notify_all()
    for waiter in group:
        require(waiter.join(), "a waiter sleeps on")


SCENARIOS: list[tuple[str, Callable[[], Any]]] = [
    ("lock", lock),
    ("rlock", rlock),
    ("lock, recover", lock_recover),
    ("lock, taken over", lock_taken_over),
    ("lock, contended", lock_contended),
    ("semaphore", semaphore),
    ("semaphore, release to a sleeper", semaphore_release_to_a_sleeper),
    ("semaphore, waiting", semaphore_waiting),
    ("semaphore, tracked", semaphore_tracked),
    ("semaphore, inherited", semaphore_inherited),
    ("event, set", event_set),
    ("event, clear", event_clear),
    ("event, wait", event_wait),
    ("condition, wait on Lock", condition_wait(sync.Lock)),
    ("condition, wait on RLock", condition_wait(sync.RLock)),
    ("condition, notify", condition_notify),
    ("condition, more waiters than entries", condition_of_many),
    ("barrier, arrival", barrier_arrival),
    ("barrier, last", barrier_last),
    ("barrier, action", barrier_with_action),
    ("barrier, abort and reset", barrier_abort),
    ("create Lock", creation(sync.Lock)),
    ("create Semaphore", creation(lambda: sync.Semaphore(3, track_holders=True))),
    ("create Event", creation(sync.Event)),
    ("create Condition", creation(sync.Condition)),
    ("create Barrier", creation(lambda: sync.Barrier(3))),
    ("open", opening),
]
EXTRA: list[tuple[str, Callable[[], None]]] = [
    ("notification of the dead", notification_of_the_dead),
    ("notification passed on", notification_passed_on),
]


def settled(before: int) -> int:
    """Memory in use once it is no more than before, or at the deadline."""
    deadline = time.monotonic() + 5
    while (now := used()) > before and time.monotonic() < deadline:
        time.sleep(0.002)
    return now


def run(name: str, scenario: Callable[[], Any]) -> int:
    """Kill at every step; returns how many there were."""
    k = 0
    while True:
        before = used()
        steps = scenario()
        operation = next(steps)
        pid, _ = forked(operation, k)
        del operation
        code = reap(pid)
        require(code in (0, -signal.SIGKILL), f"{name}: the child failed with {code} at step {k}")
        require(not (code and k == 0), f"{name}: killed without being asked")
        try:
            for _ in steps:
                raise RuntimeError("a scenario yields once")
        except Exception as error:
            raise AssertionError(f"{name}, killed at step {k}: {error!r}") from error
        del steps
        wrong = core.check()
        require(wrong is None, f"{name}, killed at step {k}: {wrong}")
        after = settled(before)
        # The first round may fill tables that stay.
        require(k == 0 or after <= before, f"{name}, killed at step {k}: {after - before} bytes leaked")
        if code == 0 and k > 0:
            return k - 1
        k += STRIDE if k else 1


def main() -> None:
    chosen = sys.argv[1:]
    steps = {name: run(name, scenario) for name, scenario in SCENARIOS if not chosen or name in chosen}
    for name, check in EXTRA:
        if not chosen or name in chosen:
            check()
    branches = {name: count for name, count in core.fault_branches().items() if name.startswith("sync")}
    print(json.dumps({"steps": steps, "branches": branches}))


if __name__ == "__main__":
    main()
