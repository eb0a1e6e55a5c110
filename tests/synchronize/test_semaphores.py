"""Semaphore and BoundedSemaphore."""

from __future__ import annotations

import time
from typing import Any

import pytest

from procession_synchronize import BoundedSemaphore, Semaphore
from tests.synchronize.helpers import finish, in_thread, start


@pytest.mark.parametrize("cls", [Semaphore, BoundedSemaphore])
def test_counting(cls: Any) -> None:
    sem = cls(2)
    assert sem.get_value() == 2
    assert sem.acquire() is True
    assert sem.get_value() == 1
    assert sem.acquire() is True
    assert sem.get_value() == 0
    assert sem.locked() is True
    assert sem.acquire(False) is False
    assert sem.acquire(timeout=0.01) is False
    assert sem.release() is None
    assert sem.get_value() == 1
    assert sem.locked() is False
    assert sem.release() is None
    assert sem.get_value() == 2


def test_a_semaphore_may_grow() -> None:
    sem = Semaphore()
    assert sem.get_value() == 1
    for n in range(2, 6):
        sem.release()
        assert sem.get_value() == n


@pytest.mark.native_only
def test_a_release_too_many_says_what_is_allowed() -> None:
    with pytest.raises(
        ValueError, match="too many times: its value is 2 already, the most it may have; release once"
    ):
        BoundedSemaphore(2).release()


def test_a_bounded_one_may_not() -> None:
    sem = BoundedSemaphore(2)
    with pytest.raises(ValueError, match="semaphore or lock released too many times"):
        sem.release()
    sem.acquire()
    sem.release()
    with pytest.raises(ValueError):
        sem.release()
    assert sem.get_value() == 2


def test_value_zero() -> None:
    sem = Semaphore(0)
    assert sem.locked()
    assert sem.acquire(block=False) is False
    sem.release()
    assert sem.acquire(block=False) is True


@pytest.mark.parametrize("value", [-1, 2**31, 2**80])
def test_values_out_of_range(value: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        Semaphore(value)


@pytest.mark.parametrize("value", ["1", None, 1.5])
def test_values_of_the_wrong_type(value: Any) -> None:
    with pytest.raises(TypeError):
        Semaphore(value)


def test_reprs() -> None:
    sem = Semaphore(3)
    assert repr(sem) == "<Semaphore(value=3)>"
    sem.acquire()
    assert repr(sem) == "<Semaphore(value=2)>"
    bounded = BoundedSemaphore(4)
    bounded.acquire()
    assert repr(bounded) == "<BoundedSemaphore(value=3, maxvalue=4)>"


@pytest.mark.parametrize("cls", [Semaphore, BoundedSemaphore])
def test_with(cls: Any) -> None:
    sem = cls(1)
    with sem as taken:
        assert taken is True
        assert sem.locked()
    assert sem.get_value() == 1


def test_release_by_another_thread() -> None:
    sem = Semaphore(0)
    assert in_thread(sem.release) is None
    assert sem.acquire(True, 10)


@pytest.mark.parametrize("timeout", [0, -3, 0.05])
def test_timeouts(timeout: float) -> None:
    sem = Semaphore(0)
    before = time.monotonic()
    assert sem.acquire(True, timeout) is False
    assert time.monotonic() - before >= timeout


def take_and_answer(there: Any, back: Any, rounds: int) -> None:
    for _ in range(rounds):
        assert there.acquire(True, 30)
        back.release()


def test_hand_off_between_processes(start_method: str, make: Any) -> None:
    there, back = make.Semaphore(0), make.Semaphore(0)
    child = start(start_method, take_and_answer, there, back, 200)
    for _ in range(200):
        there.release()
        assert back.acquire(True, 30)
    finish(child)


def pass_through(sem: Any, inside: Any, rounds: int) -> None:
    for _ in range(rounds):
        with sem:
            assert inside.acquire(False), "more inside than permits"
            inside.release()


def test_never_more_inside_than_permits(start_method: str, make: Any) -> None:
    sem, inside = make.Semaphore(2), make.Semaphore(2)
    finish(*[start(start_method, pass_through, sem, inside, 300) for _ in range(4)])
    assert sem.get_value() == 2
    assert inside.get_value() == 2


def test_many_threads_wait(threads: Any) -> None:
    sem = Semaphore(0)
    done = Semaphore(0)

    def work() -> None:
        assert sem.acquire(True, 30)
        done.release()

    for _ in range(8):
        threads.run(work)
    for n in range(8):
        sem.release()
        assert done.acquire(True, 30)
        assert sem.get_value() == 0
