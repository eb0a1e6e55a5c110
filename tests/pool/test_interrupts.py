"""Ctrl-C at every instruction of the pool's own code: no other result is lost, and the pool goes on."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

import procession_process
from procession_pool import Pool, ThreadPool

from . import tasks

FORK = SimpleNamespace(Process=procession_process.ForkProcess)
HOME = f"{os.sep}procession_pool{os.sep}"
LAST = 100_000


@pytest.fixture(params=["processes", "threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    with Pool(2, context=FORK) if request.param == "processes" else ThreadPool(2) as pool:
        yield pool


class Alarm(Exception):
    """What a handler of SIGALRM raises."""


class Stepper:
    """Raises SIGINT before the n-th instruction in the pool's files."""

    def __init__(self, step: int, number: int = signal.SIGINT) -> None:
        self.left = step
        self.number = number
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        if HOME not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self.where = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
                signal.raise_signal(self.number)
        return self


def interrupted_at(step: int, act: Callable[[], object], number: int = signal.SIGINT) -> str:
    """Run *act*; return where it was interrupted, the empty string if it has fewer instructions."""
    stepper = Stepper(step, number)
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for such a frame when tracing begins
    try:
        sys.settrace(stepper)
        try:
            act()
        finally:
            sys.settrace(None)
        # A signal of the last instructions may come here.
        time.sleep(0)
    except (KeyboardInterrupt, Alarm):
        assert stepper.where
    return stepper.where


def check(pool: Any, others: list[Any], where: str) -> None:
    for x, other in enumerate(others):
        assert other.get(20) == x, where
    assert pool.map(tasks.square, range(4), 1) == [0, 1, 4, 9], where
    engine = pool._engine
    deadline = time.monotonic() + 20
    while pool._cache or engine._in_flight or engine._followers or engine._guard.leader:
        assert time.monotonic() < deadline, (where, pool._cache, engine._in_flight, engine._followers)
        time.sleep(0.001)
    assert engine.urgent == 0 or where, where
    assert all(worker.room() or not isinstance(pool, Pool) for worker in engine.workers), where
    assert not engine._guard.mine(), where


def acts(pool: Any) -> dict[str, Callable[[], object]]:
    return {
        "map": lambda: pool.map(tasks.square, range(6), 1),
        "apply": lambda: pool.apply(tasks.square, (3,)),
        "apply_async": lambda: pool.apply_async(tasks.square, (3,)).get(),
        "imap": lambda: list(pool.imap(tasks.square, [1, 2, 3])),
        "callback": lambda: pool.apply_async(tasks.square, (3,), callback=str).get(),
        "cancel": lambda: pool.map_async(tasks.square, range(6), 1).cancel(running=False),
        "ready": lambda: [pool.apply_async(tasks.square, (x,)).ready() for x in range(3)],
    }


def steps_through(pool: Any, act: Callable[[], object], stride: int, first: int = 1) -> int:
    act()
    done = 0
    for step in range(first, LAST, stride):
        others = [pool.apply_async(tasks.same, (x,)) for x in range(3)]
        where = interrupted_at(step, act)
        check(pool, others, f"step {step}: {where}")
        if not where:
            return done
        done += 1
    return done


@pytest.mark.parametrize("name", ["map", "apply", "apply_async", "imap", "callback", "cancel", "ready"])
@pytest.mark.timeout(300)
def test_an_interrupt_anywhere(pool: Any, name: str) -> None:
    assert steps_through(pool, acts(pool)[name], 41) > 3


@pytest.mark.stress
@pytest.mark.parametrize("name", ["map", "apply", "apply_async", "imap", "callback", "cancel", "ready"])
@pytest.mark.timeout(1200)
def test_an_interrupt_at_every_instruction(pool: Any, name: str) -> None:
    assert steps_through(pool, acts(pool)[name], 1) > 100


@pytest.mark.native_only
@pytest.mark.timeout(300, method="thread")
@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1])
def test_other_signals_whose_handlers_raise(pool: Any, number: int) -> None:
    def expire(number: int, frame: object) -> None:
        raise Alarm

    former = signal.signal(number, expire)
    try:
        time.sleep(0.01)
        for step in range(1, 700, 13):
            others = [pool.apply_async(tasks.same, (x,)) for x in range(3)]
            where = interrupted_at(step, lambda: pool.map(tasks.square, range(3), 1), number)
            check(pool, others, f"step {step}: {where}")
    finally:
        signal.signal(number, former)


@pytest.mark.timeout(300)
def test_an_interrupt_of_one_that_waits_for_another_ones_turn(pool: Any) -> None:
    # A thread leads, so the interrupted caller is told by it, or takes its place.
    stop = threading.Event()
    failures: list[BaseException] = []

    def lead() -> None:
        try:
            while not stop.is_set():
                assert pool.apply(tasks.nap, (0.002,)) == 0.002
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=lead) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for step in range(1, 1500, 29):
            where = interrupted_at(step, lambda: pool.map(tasks.square, range(3), 1))
            assert pool.apply(tasks.square, (3,)) == 9, (step, where)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not failures and not any(thread.is_alive() for thread in threads)
    check(pool, [], "")


def test_an_interrupt_ends_a_wait_at_once(pool: Any) -> None:
    for wait in (
        lambda: pool.apply(tasks.nap, (3,)),
        lambda: pool.apply_async(tasks.nap, (3,)).get(),
        lambda: pool.apply_async(tasks.nap, (3,)).wait(20),
        lambda: next(pool.imap(tasks.nap, [3])),
    ):
        timer = threading.Timer(0.1, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            wait()
        assert time.monotonic() - started < 2.8
        timer.join()
    check(pool, [], "")


@pytest.mark.timeout(120)
def test_an_interrupt_that_does_not_end_the_wait_itself(pool: Any) -> None:
    # Another thread receives it, so the main one sleeps on; as one that comes in the moment before the wait begins.
    asleep = threading.Event()
    receiver = threading.Thread(target=asleep.wait)
    receiver.start()
    try:
        for wait in (
            lambda: pool.apply(tasks.nap, (40,)),
            lambda: pool.apply_async(tasks.nap, (40,)).wait(60),
        ):
            timer = threading.Timer(0.3, signal.pthread_kill, (receiver.ident, signal.SIGINT))
            started = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                timer.start()
                wait()
            assert time.monotonic() - started < 20
            timer.join()
    finally:
        asleep.set()
        receiver.join()
        if isinstance(pool, Pool):
            pool.terminate()


def test_the_programs_own_handler_is_called_and_may_be_changed(pool: Any) -> None:
    seen: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        time.sleep(0.01)
        assert pool.apply(tasks.square, (2,)) == 4
        os.kill(os.getpid(), signal.SIGINT)
        assert pool.apply(tasks.square, (3,)) == 9
        assert seen == [signal.SIGINT]
        interrupted_at(100, lambda: pool.map(tasks.square, range(6), 1))
        assert seen == [signal.SIGINT] * 2
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(0.01)
        assert pool.apply(tasks.square, (2,)) == 4
        os.kill(os.getpid(), signal.SIGINT)
        assert pool.apply(tasks.square, (3,)) == 9
    finally:
        signal.signal(signal.SIGINT, former)
    assert signal.getsignal(signal.SIGINT) is former


class SlowToLoad:
    """Takes its time to be unpickled, which the pool does under its lock."""

    def __reduce__(self) -> Any:
        return tasks.nap_at_home, (os.getppid(), 6.0)


def return_slow() -> Any:
    return SlowToLoad()


@pytest.mark.linux_only
def test_a_second_interrupt_gets_through_where_the_first_one_waits() -> None:
    with Pool(1, context=FORK) as pool:
        pool.apply(tasks.square, (2,))
        me = threading.get_ident()
        timers = [threading.Timer(t, signal.pthread_kill, (me, signal.SIGINT)) for t in (0.5, 1.0)]
        for timer in timers:
            timer.start()
        started = time.monotonic()
        try:
            pool.apply(return_slow)
        except KeyboardInterrupt:
            took = time.monotonic() - started
        for timer in timers:
            timer.cancel()
            timer.join()
        assert took < 5
