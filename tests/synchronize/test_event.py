"""Event."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

import pytest

from procession_synchronize import Event, Semaphore
from tests.synchronize.helpers import finish, start


def test_set_clear_and_wait() -> None:
    event = Event()
    assert event.is_set() is False
    assert event.wait(0) is False
    assert event.wait(-1) is False
    before = time.monotonic()
    assert event.wait(0.05) is False
    assert time.monotonic() - before >= 0.05
    assert event.set() is None
    assert event.is_set() is True
    assert event.wait() is True
    assert event.wait(timeout=0) is True
    event.set()
    assert event.clear() is None
    assert event.is_set() is False
    event.clear()


def test_bad_timeout() -> None:
    with pytest.raises(TypeError):
        Event().wait("soon")  # type: ignore[arg-type]


def test_repr() -> None:
    event = Event()
    assert re.fullmatch(r"<Event at 0x[0-9a-f]+ unset>", repr(event))
    event.set()
    assert re.fullmatch(r"<Event at 0x[0-9a-f]+ set>", repr(event))


def wait_then_answer(event: Any, answers: Any) -> None:
    assert event.wait(30) is True
    answers.release()


def test_all_waiters_wake(start_method: str, make: Any) -> None:
    event, answers = make.Event(), make.Semaphore(0)
    children = [start(start_method, wait_then_answer, event, answers) for _ in range(3)]
    time.sleep(0.05)
    assert answers.get_value() == 0
    event.set()
    for _ in range(3):
        assert answers.acquire(True, 30)
    finish(*children)


def ping(there: Any, back: Any, rounds: int) -> None:
    for _ in range(rounds):
        assert there.wait(30)
        there.clear()
        back.set()


def test_ping_pong(start_method: str, make: Any) -> None:
    there, back = make.Event(), make.Event()
    child = start(start_method, ping, there, back, 200)
    for _ in range(200):
        there.set()
        assert back.wait(30)
        back.clear()
    finish(child)


def test_threads_wake(threads: Any) -> None:
    event, woken = Event(), Semaphore(0)

    def work() -> None:
        assert event.wait(30)
        woken.release()

    for _ in range(6):
        threads.run(work)
    event.set()
    for _ in range(6):
        assert woken.acquire(True, 30)


@pytest.mark.native_only
def test_set_in_a_signal_handler_that_interrupts_wait_and_set() -> None:
    event = Event()
    fired = []

    def handler(number: int, frame: Any) -> None:
        fired.append(number)
        event.set()

    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert event.wait(30) is True
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline or (len(fired) <= 10 and time.monotonic() < deadline + 30):
            event.set()
            event.clear()
            event.is_set()
        signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert len(fired) > 10


def wait_forever(event: Any, ready: Any) -> None:
    ready.release()
    event.wait()


@pytest.mark.native_only
def test_a_killed_waiter_never_blocks_set(start_method: str, make: Any) -> None:
    event, ready = make.Event(), make.Semaphore(0)
    child = start(start_method, wait_forever, event, ready)
    assert ready.acquire(True, 30)
    time.sleep(0.05)
    child.kill()
    child.join(30)
    event.set()
    assert event.wait(0)
    event.clear()
    event.set()
    assert os.getpid()
