"""Condition."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from procession_synchronize import Condition, Lock, RLock, Semaphore
from tests.synchronize.helpers import eventually, finish, in_thread, start


def waiters(cond: Any) -> int:
    """How many wait, as the repr tells."""
    return int(repr(cond).rpartition(", ")[2].rstrip(")>"))


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_the_lock_is_that_of_the_condition(kind: Any) -> None:
    lock = kind()
    cond = Condition(lock)
    with cond:
        assert lock.locked()
        assert in_thread(lock.acquire, False) is False
    assert not lock.locked()
    assert cond.acquire(False) is True
    assert cond.release() is None
    assert cond.acquire(timeout=1) is True
    cond.release()


@pytest.mark.parametrize("make_cond", [Condition, lambda: Condition(Lock()), lambda: Condition(RLock())])
def test_calls_without_the_lock(make_cond: Any) -> None:
    cond = make_cond()
    with pytest.raises(AssertionError, match=r"^must acquire\(\) condition before using wait\(\)"):
        cond.wait()
    for call in (cond.notify, cond.notify_all):
        with pytest.raises(AssertionError, match="^lock is not owned"):
            call()
    with pytest.raises(AssertionError):
        cond.wait(0)
    with cond:
        assert isinstance(in_thread(cond.notify), AssertionError)


def test_timeout() -> None:
    cond = Condition()
    for timeout in (0, -1, 0.05):
        with cond:
            before = time.monotonic()
            assert cond.wait(timeout) is False
            assert time.monotonic() - before >= timeout
    with cond:
        cond.notify()
        assert cond.wait(0.01) is False


def test_bad_arguments() -> None:
    cond = Condition()
    with cond:
        with pytest.raises(TypeError):
            cond.wait("soon")
        with pytest.raises(TypeError):
            cond.notify("two")
    with pytest.raises((TypeError, AttributeError)):
        Condition(3).acquire()


def test_wait_for() -> None:
    cond = Condition()
    with cond:
        assert cond.wait_for(lambda: 7) == 7
        calls = []
        before = time.monotonic()
        assert cond.wait_for(lambda: calls.append(1), 0.05) is None
        assert time.monotonic() - before >= 0.05
        assert len(calls) >= 2
        assert cond.wait_for(lambda: False, timeout=0) is False


def test_repr() -> None:
    assert repr(Condition()) == "<Condition(<RLock(None, 0)>, 0)>"
    assert repr(Condition(Lock())) == "<Condition(<Lock(owner=None)>, 0)>"


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_notify_wakes_as_many_as_asked(threads: Any, kind: Any) -> None:
    cond, woken = Condition(kind()), Semaphore(0)

    def work() -> None:
        with cond:
            assert cond.wait(30) is True
            woken.release()

    for _ in range(6):
        threads.run(work)
    eventually(lambda: waiters(cond) == 6)
    with cond:
        cond.notify()
    assert woken.acquire(True, 30)
    time.sleep(0.02)
    assert woken.get_value() == 0
    with cond:
        cond.notify(n=2)
    for _ in range(2):
        assert woken.acquire(True, 30)
    time.sleep(0.02)
    assert woken.get_value() == 0
    eventually(lambda: waiters(cond) == 3)
    with cond:
        cond.notify_all()
    for _ in range(3):
        assert woken.acquire(True, 30)
    eventually(lambda: waiters(cond) == 0)
    with cond:
        cond.notify(5)


def test_wait_gives_up_all_levels(threads: Any) -> None:
    cond = Condition(RLock())
    inside = threading.Event()

    def work() -> None:
        with cond, cond, cond:
            inside.set()
            assert cond.wait(30) is True
            assert in_thread(cond.acquire, False) is False
        assert in_thread(lambda: cond.acquire(False) and not cond.release()) is True

    thread = threads.run(work)
    inside.wait(30)
    eventually(lambda: waiters(cond) == 1)
    with cond, cond:
        cond.notify()
    thread.join(30)
    assert not thread.is_alive()


def wait_once(cond: Any, ready: Any, woken: Any) -> None:
    with cond:
        ready.release()
        assert cond.wait(30)
    woken.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_notify_across_processes(start_method: str, make: Any, kind: str) -> None:
    cond, ready, woken = make.Condition(getattr(make, kind)()), make.Semaphore(0), make.Semaphore(0)
    children = [start(start_method, wait_once, cond, ready, woken) for _ in range(3)]
    for _ in range(3):
        assert ready.acquire(True, 30)
    with cond:
        cond.notify()
    assert woken.acquire(True, 30)
    assert woken.acquire(timeout=0.05) is False
    with cond:
        cond.notify_all()
    for _ in range(2):
        assert woken.acquire(True, 30)
    finish(*children)


def take_turns(cond: Any, turn: Any, mine: int, rounds: int) -> None:
    for _ in range(rounds):
        with cond:
            assert cond.wait_for(lambda: turn.get_value() == mine, 30)
            if mine:
                assert turn.acquire(False)
            else:
                turn.release()
            cond.notify()


def test_turns(start_method: str, make: Any) -> None:
    cond, turn = make.Condition(make.Lock()), make.Semaphore(0)
    children = [start(start_method, take_turns, cond, turn, mine, 150) for mine in range(2)]
    finish(*children)


def test_no_wake_up_is_lost_and_none_is_stolen(threads: Any) -> None:
    cond = Condition(Lock())
    state = {"items": 0, "taken": 0}

    def consumer() -> None:
        for _ in range(100):
            with cond:
                while not state["items"]:
                    assert cond.wait(30)
                state["items"] -= 1
                state["taken"] += 1

    for _ in range(4):
        threads.run(consumer)
    for _ in range(400):
        with cond:
            state["items"] += 1
            cond.notify()
    threads.join()
    assert state == {"items": 0, "taken": 400}


def test_timed_out_waiters_do_not_disturb_the_others(threads: Any) -> None:
    cond = Condition(Lock())
    notified = Semaphore(0)
    stop = threading.Event()

    def impatient() -> None:
        while not stop.is_set():
            with cond:
                cond.wait(0.0005)

    def patient() -> None:
        with cond:
            assert cond.wait(30) is True
        notified.release()

    for _ in range(2):
        threads.run(impatient)
    patients = [threads.run(patient) for _ in range(2)]
    time.sleep(0.05)
    for _ in range(200):
        with cond:
            cond.notify_all()
    for thread in patients:
        thread.join(30)
    stop.set()
    assert notified.get_value() == 2


def wait_forever(cond: Any, ready: Any) -> None:
    with cond:
        ready.release()
        cond.wait()


@pytest.mark.native_only
@pytest.mark.parametrize("count", [1, 3])
def test_killed_waiters_never_eat_a_notification(
    start_method: str, make: Any, count: int, threads: Any
) -> None:
    cond, ready = make.Condition(make.Lock()), make.Semaphore(0)
    children = [start(start_method, wait_forever, cond, ready) for _ in range(count)]
    for _ in range(count):
        assert ready.acquire(True, 30)
    with cond:  # all of them wait now
        pass
    woken = Semaphore(0)

    def live() -> None:
        with cond:
            assert cond.wait(30)
        woken.release()

    threads.run(live)
    eventually(lambda: waiters(cond) == count + 1)
    for child in children:
        child.kill()
        child.join(30)
    with cond:
        cond.notify()
    assert woken.acquire(True, 30)
    # The living one may have inherited the notification of a dead one, before the notifier met the others.
    with cond:
        cond.notify_all()
    assert waiters(cond) == 0
