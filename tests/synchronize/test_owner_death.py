"""What becomes of locks and permits whose holder died."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from typing import Any

import pytest

from procession_core import OwnerDiedError
from procession_synchronize import BoundedSemaphore, Condition, Lock, RLock, Semaphore
from tests.synchronize.helpers import eventually, finish, start

pytestmark = pytest.mark.native_only


def take_and_die(lock: Any, levels: int = 1) -> None:
    for _ in range(levels):
        lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def take_and_exit(lock: Any) -> None:
    lock.acquire()


def orphan(method: str, lock: Any, *args: Any) -> int:
    child = start(method, take_and_die, lock, *args)
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    return int(child.pid)


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
@pytest.mark.parametrize("call", [lambda lock: lock.acquire(), lambda lock: lock.acquire(False),
                                  lambda lock: lock.acquire(timeout=20), lambda lock: lock.__enter__()])  # fmt: skip
def test_the_next_to_acquire_is_told(make: Any, start_method: str, kind: str, call: Any) -> None:
    lock = getattr(make, kind)()
    pid = orphan(start_method, lock)
    with pytest.raises(OwnerDiedError) as caught:
        call(lock)
    assert caught.value.pid == pid
    assert 0 <= caught.value.held_for < 30
    text = str(caught.value)
    assert str(pid) in text
    assert "the lock is free again" in text
    assert not lock.locked()
    assert call(lock) is True
    lock.release()


def test_the_message_says_how() -> None:
    lock = Lock()
    orphan("fork", lock)
    with pytest.raises(OwnerDiedError, match="signal 9"):
        lock.acquire()


def test_until_then_it_is_held() -> None:
    lock = Lock()
    orphan("os.fork", lock)
    assert lock.locked()
    assert repr(lock) == "<Lock(owner=SomeOtherProcess)>"
    lock.release()  # a legal hand-over
    assert lock.acquire(False) is True
    lock.release()


def test_an_exit_is_a_death(start_method: str, make: Any) -> None:
    lock = make.Lock()
    child = start(start_method, take_and_exit, lock)
    finish(child)
    with pytest.raises(OwnerDiedError):
        lock.acquire()
    with lock:
        pass


@pytest.mark.parametrize("cls", [Lock, RLock])
def test_recover(cls: Any) -> None:
    lock = cls(on_owner_death="recover")
    pid = orphan("os.fork", lock)
    with pytest.warns(RuntimeWarning, match=str(pid)):
        assert lock.acquire() is True
    assert lock.locked()
    lock.release()
    orphan("os.fork", lock)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            lock.acquire()
    assert not lock.locked()


def test_a_recursive_lock_is_free_of_all_levels() -> None:
    lock = RLock()
    orphan("os.fork", lock, 3)
    with pytest.raises(OwnerDiedError):
        lock.acquire()
    lock.acquire()
    assert repr(lock) == "<RLock(MainProcess, 1)>"
    lock.release()
    assert not lock.locked()


def take_then_sleep(lock: Any, held: Any) -> None:
    lock.acquire()
    held.release()
    time.sleep(60)


def test_one_of_those_who_wait_is_told(threads: Any) -> None:
    lock, held = Lock(), Semaphore(0)
    child = start("os.fork", take_then_sleep, lock, held)
    assert held.acquire(True, 30)
    told: list[str] = []

    def work() -> None:
        try:
            with lock:
                told.append("acquired")
        except OwnerDiedError:
            told.append("told")

    for _ in range(4):
        threads.run(work)
    time.sleep(0.05)
    assert told == []
    child.kill()
    child.join()
    threads.join()
    assert sorted(told) == ["acquired"] * 3 + ["told"]


def test_a_stopped_owner_is_alive() -> None:
    lock, held = Lock(), Semaphore(0)
    child = start("os.fork", take_then_sleep, lock, held)
    assert held.acquire(True, 30)
    os.kill(child.pid, signal.SIGSTOP)
    assert lock.acquire(timeout=0.2) is False
    assert lock.acquire(False) is False
    child.kill()
    child.join()
    with pytest.raises(OwnerDiedError):
        lock.acquire()


def test_wait_holds_the_lock_when_it_tells(threads: Any) -> None:
    cond = Condition(Lock())
    seen: list[Any] = []

    def work() -> None:
        with cond:
            try:
                seen.append(cond.wait(30))
            except OwnerDiedError as error:
                seen.append(error)
                assert repr(cond._lock) != "<Lock(owner=None)>"
                assert cond.locked()

    threads.run(work)
    eventually(lambda: "1)>" in repr(cond))

    def notify_and_die() -> None:
        cond.acquire()
        cond.notify()
        os.kill(os.getpid(), signal.SIGKILL)

    start("os.fork", notify_and_die).join()
    threads.join()
    assert [type(item) for item in seen] == [OwnerDiedError]
    assert not cond.locked()


@pytest.mark.parametrize("cls", [Semaphore, BoundedSemaphore])
def test_tracked_permits_come_back(start_method: str, make: Any, cls: Any) -> None:
    sem = getattr(make, cls.__name__)(2, track_holders=True)
    assert sem.get_value() == 2
    orphan(start_method, sem, 2)
    assert sem.acquire(True, 30)
    assert sem.acquire(False)
    assert sem.acquire(False) is False
    sem.release()
    sem.release()
    assert sem.get_value() == 2


def test_a_waiter_gets_a_tracked_permit() -> None:
    sem, held = BoundedSemaphore(1, track_holders=True), Semaphore(0)
    child = start("os.fork", take_then_sleep, sem, held)
    assert held.acquire(True, 30)
    timer = threading.Timer(0.05, child.kill)
    timer.start()
    assert sem.acquire(True, 30)
    timer.join()
    child.join()
    sem.release()


def test_tracked_semaphores_count_as_others_do() -> None:
    sem = Semaphore(0, track_holders=True)
    assert sem.acquire(False) is False
    for n in range(1, 6):
        sem.release()
        assert sem.get_value() == n
    bounded = BoundedSemaphore(2, track_holders=True)
    with pytest.raises(ValueError, match="released too many times"):
        bounded.release()
    with bounded, bounded:
        assert bounded.locked()
    with pytest.raises(ValueError):
        Semaphore(10**6, track_holders=True)


def test_untracked_permits_do_not_come_back() -> None:
    sem = Semaphore(1)
    orphan("os.fork", sem)
    assert sem.acquire(timeout=0.1) is False
    sem.release()
    assert sem.acquire(False)
