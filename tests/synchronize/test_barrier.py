"""Barrier."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from procession_synchronize import Barrier, Semaphore
from tests.synchronize.helpers import eventually, finish, start


def test_one_party() -> None:
    calls: list[int] = []
    barrier = Barrier(1, action=lambda: calls.append(1))
    assert [barrier.wait() for _ in range(3)] == [0, 0, 0]
    assert calls == [1, 1, 1]
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (1, 0, False)


@pytest.mark.parametrize("parties", [0, -1])
def test_bad_parties(parties: int) -> None:
    with pytest.raises(ValueError):
        Barrier(parties)


@pytest.mark.parametrize("parties", ["2", None, 1.5])
def test_parties_of_the_wrong_type(parties: Any) -> None:
    with pytest.raises(TypeError):
        Barrier(parties)


def test_threads_pass_together(threads: Any) -> None:
    barrier = Barrier(4)
    indices: list[int] = []
    rounds: list[int] = []

    def work() -> None:
        for n in range(50):
            indices.append(barrier.wait(30))
            rounds.append(n)
            barrier.wait(30)

    for _ in range(4):
        threads.run(work)
    threads.join()
    assert rounds == sorted(rounds)
    for n in range(50):
        assert sorted(indices[4 * n : 4 * n + 4]) == [0, 1, 2, 3]


def test_n_waiting(threads: Any) -> None:
    barrier = Barrier(3)
    threads.run(barrier.wait, 30)
    eventually(lambda: barrier.n_waiting == 1)
    threads.run(barrier.wait, 30)
    eventually(lambda: barrier.n_waiting == 2)
    barrier.wait(30)
    eventually(lambda: barrier.n_waiting == 0)
    assert not barrier.broken


def test_timeout_breaks_it(threads: Any) -> None:
    barrier = Barrier(3)
    broken = Semaphore(0)

    def patient() -> None:
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(30)
        broken.release()

    threads.run(patient)
    eventually(lambda: barrier.n_waiting == 1)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(0.05)
    assert broken.acquire(True, 30)
    assert barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(30)
    barrier.reset()
    assert not barrier.broken


def test_the_barriers_own_timeout() -> None:
    barrier = Barrier(2, timeout=0.02)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    assert barrier.broken


@pytest.mark.parametrize("how", ["abort", "reset"])
def test_abort_and_reset_break_those_who_wait(threads: Any, how: str) -> None:
    barrier = Barrier(2)

    def waiting() -> None:
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(30)

    threads.run(waiting)
    eventually(lambda: barrier.n_waiting == 1)
    getattr(barrier, how)()
    threads.join()
    assert barrier.broken is (how == "abort")
    if barrier.broken:
        barrier.reset()
    threads.run(barrier.wait, 30)
    barrier.wait(30)


def test_an_action_that_raises_breaks_it(threads: Any) -> None:
    def action() -> None:
        raise KeyError("action")

    barrier = Barrier(2, action)

    def waiting() -> None:
        with pytest.raises(threading.BrokenBarrierError):
            barrier.wait(30)

    threads.run(waiting)
    eventually(lambda: barrier.n_waiting == 1)
    with pytest.raises(KeyError):
        barrier.wait(30)
    threads.join()
    assert barrier.broken


def test_the_action_runs_once_a_round_before_anybody_goes(threads: Any) -> None:
    calls: list[int] = []
    barrier = Barrier(3, lambda: calls.append(len(calls)))

    def work() -> None:
        for n in range(20):
            barrier.wait(30)
            assert len(calls) >= n + 1

    for _ in range(3):
        threads.run(work)
    threads.join()
    assert calls == list(range(20))


def pass_it(barrier: Any, passed: Any, rounds: int) -> None:
    for _ in range(rounds):
        barrier.wait(30)
        passed.release()
        barrier.wait(30)


def test_processes_pass_together(start_method: str, make: Any) -> None:
    barrier, passed = make.Barrier(3), make.Semaphore(0)
    children = [start(start_method, pass_it, barrier, passed, 20) for _ in range(2)]
    for n in range(20):
        barrier.wait(30)
        passed.release()
        barrier.wait(30)
        assert passed.get_value() == 3 * (n + 1)
    finish(*children)


def wait_on(barrier: Any, ready: Any) -> None:
    ready.release()
    barrier.wait()


@pytest.mark.native_only
def test_a_killed_party_breaks_it(start_method: str, make: Any, threads: Any) -> None:
    barrier, ready = make.Barrier(3), make.Semaphore(0)
    child = start(start_method, wait_on, barrier, ready)
    assert ready.acquire(True, 30)
    eventually(lambda: barrier.n_waiting == 1)
    child.kill()
    child.join(30)
    before = time.monotonic()
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(30)
    assert time.monotonic() - before < 20
    assert barrier.broken
    barrier.reset()
    for _ in range(2):
        threads.run(barrier.wait, 30)
    barrier.wait(30)


def test_repr() -> None:
    barrier = Barrier(2)
    assert repr(barrier).endswith(": waiters=0/2>")
    barrier.abort()
    assert repr(barrier).endswith(": broken>")
