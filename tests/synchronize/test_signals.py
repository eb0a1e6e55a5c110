"""Signals that arrive while a synchronisation object is waited for."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from procession_synchronize import Barrier, Condition, Event, Lock, RLock, Semaphore
from tests.synchronize.helpers import eventually, in_thread


class Stop(Exception):
    """Raised by the handler."""


@pytest.fixture
def alarm() -> Iterator[Any]:
    """Calls back after a moment, in a signal handler of the main thread."""
    old = signal.getsignal(signal.SIGALRM)

    def arm(callback: Any, seconds: float = 0.03) -> None:
        signal.signal(signal.SIGALRM, lambda number, frame: callback())
        signal.setitimer(signal.ITIMER_REAL, seconds)

    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, old)


def stop() -> None:
    raise Stop


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_a_condition_holds_its_lock_when_the_exception_comes_out(alarm: Any, kind: Any) -> None:
    cond = Condition(kind())
    with cond:
        with pytest.raises(Stop):
            alarm(stop)
            cond.wait(30)
        assert in_thread(cond.acquire, False) is False
        cond.notify_all()
    assert in_thread(lambda: cond.acquire(False) and not cond.release()) is True
    assert repr(cond).endswith(", 0)>")


def test_a_handler_that_returns_does_not_end_the_wait(alarm: Any) -> None:
    calls: list[int] = []
    for wait in (Semaphore(0).acquire, Event().wait):
        alarm(lambda: calls.append(1))
        before = time.monotonic()
        assert wait(timeout=0.15) is False
        assert time.monotonic() - before >= 0.15
    assert calls == [1, 1]


@pytest.mark.parametrize(
    "make", [lambda: Semaphore(0).acquire, lambda: Event().wait, lambda: Barrier(2).wait]
)
def test_an_exception_of_a_handler_ends_the_wait_at_once(alarm: Any, make: Any) -> None:
    wait = make()
    before = time.monotonic()
    with pytest.raises(Stop):
        alarm(stop)
        wait()
    assert time.monotonic() - before < 10


def test_a_party_that_leaves_by_an_exception_breaks_nothing(alarm: Any, threads: Any) -> None:
    barrier = Barrier(2)
    with pytest.raises(Stop):
        alarm(stop)
        barrier.wait()
    assert barrier.n_waiting == 0
    assert not barrier.broken
    threads.run(barrier.wait, 30)
    eventually(lambda: barrier.n_waiting == 1)
    barrier.wait(30)


def test_a_handler_may_use_what_is_waited_for(alarm: Any) -> None:
    sem = Semaphore(0)
    alarm(sem.release)
    assert sem.acquire(True, 30)
    event = Event()
    alarm(event.set)
    if event.is_set():
        event.clear()
    sem2 = Semaphore(0)
    alarm(lambda: (event.set(), sem2.release()))
    assert sem2.acquire(True, 30)
    assert event.is_set()


def test_interrupt(alarm: Any) -> None:
    lock = Lock()
    lock.acquire()
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            alarm(lambda: signal.raise_signal(signal.SIGINT))
            lock.acquire()
    finally:
        signal.signal(signal.SIGINT, old)
    lock.release()
