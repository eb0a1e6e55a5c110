"""Lock and RLock."""

from __future__ import annotations

import inspect
import os
import signal
import threading
import time
from typing import Any

import pytest

from procession_synchronize import Condition, Lock, RLock
from tests.synchronize.helpers import PATIENCE, eventually, finish, in_thread, start


@pytest.mark.parametrize("cls", [Lock, RLock])
def test_acquire_release(cls: Any) -> None:
    lock = cls()
    assert lock.acquire() is True
    assert lock.locked() is True
    assert lock.release() is None
    assert lock.locked() is False


@pytest.mark.parametrize("cls", [Lock, RLock])
def test_arguments_by_position_and_keyword(cls: Any) -> None:
    for args, kwargs in [
        ((True,), {}),
        ((False,), {}),
        ((True, 1), {}),
        ((True, None), {}),
        ((True, 0.5), {}),
        ((True, -1), {}),
        ((), {"block": True}),
        ((), {"block": False}),
        ((), {"timeout": 1}),
        ((), {"block": True, "timeout": None}),
        ((1,), {"timeout": 0}),
    ]:
        lock = cls()
        assert lock.acquire(*args, **kwargs) is True
        lock.release()


@pytest.mark.parametrize("cls", [Lock, RLock])
def test_bad_arguments(cls: Any) -> None:
    lock = cls()
    wrong = [((True, "soon"), {}), ((True, 1, 2), {}), ((), {"blocking": True}), ((), {"timeout": []})]
    for args, kwargs in wrong:
        with pytest.raises(TypeError):
            lock.acquire(*args, **kwargs)
    with pytest.raises(TypeError):
        lock.release(1)
    assert lock.locked() is False
    with pytest.raises(TypeError):
        cls(3)
    with pytest.raises(ValueError, match="on_owner_death"):
        cls(on_owner_death="ignore")


def test_lock_is_not_recursive() -> None:
    lock = Lock()
    assert lock.acquire()
    assert lock.acquire(False) is False
    assert lock.acquire(block=False) is False
    lock.release()


@pytest.mark.parametrize("timeout", [0, -1, -0.5, 0.05])
def test_timeouts(timeout: float) -> None:
    lock = Lock()
    lock.acquire()
    before = time.monotonic()
    assert lock.acquire(True, timeout) is False
    assert time.monotonic() - before >= timeout
    assert lock.acquire(timeout=timeout) is False
    lock.release()


def test_release_of_an_unlocked_lock() -> None:
    lock = Lock()
    with pytest.raises(ValueError, match="semaphore or lock released too many times"):
        lock.release()
    assert lock.acquire(False)
    lock.release()


def test_another_thread_may_release_a_lock() -> None:
    lock = Lock()
    lock.acquire()
    assert in_thread(lock.release) is None
    assert lock.acquire(False)
    lock.release()


def test_rlock_counts() -> None:
    lock = RLock()
    for _ in range(3):
        assert lock.acquire()
    for _ in range(2):
        lock.release()
        assert lock.locked()
        assert in_thread(lock.acquire, False) is False
    lock.release()
    assert not lock.locked()
    assert in_thread(lambda: lock.acquire(False) and not lock.release()) is True


def test_rlock_release_by_others() -> None:
    lock = RLock()
    with pytest.raises(AssertionError, match="attempt to release recursive lock not owned by thread"):
        lock.release()
    lock.acquire()
    assert isinstance(in_thread(lock.release), AssertionError)
    assert lock.locked()
    lock.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_plain_fork_while_another_thread_holds_an_rlock() -> None:
    lock, held, go = RLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    pid = os.fork()
    if pid == 0:
        try:
            taken = lock.acquire(timeout=PATIENCE)
            lock.release()
        finally:
            os._exit(not taken)
    go.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert lock.acquire(timeout=PATIENCE), "the child has released it"
    lock.release()


@pytest.mark.parametrize("cls", [Lock, RLock])
def test_with(cls: Any) -> None:
    lock = cls()
    with lock as locked:
        assert locked is True
        assert lock.locked()
        assert in_thread(lock.acquire, False) is False
    assert not lock.locked()
    with pytest.raises(KeyError):
        with lock:
            raise KeyError
    assert not lock.locked()


@pytest.mark.parametrize("cls", [Lock, RLock])
def test_enter_and_exit_can_be_kept(cls: Any) -> None:
    lock = cls()
    enter, leave = lock.__enter__, lock.__exit__
    for _ in range(3):
        assert enter() is True
        assert lock.locked()
        assert not leave(None, None, None)
    other = cls()
    other.__enter__()
    assert not lock.locked()
    assert other.locked()
    other.__exit__(None, None, None)


def test_repr_of_a_lock() -> None:
    lock = Lock()
    assert repr(lock) == "<Lock(owner=None)>"
    lock.acquire()
    assert repr(lock) == "<Lock(owner=MainProcess)>"
    lock.release()
    texts: list[str] = []

    def hold() -> None:
        lock.acquire()
        texts.append(repr(lock))

    in_thread(hold)
    assert texts == ["<Lock(owner=MainProcess|other)>"]
    assert repr(lock) == "<Lock(owner=SomeOtherThread)>"
    lock.release()


def test_repr_of_an_rlock() -> None:
    lock = RLock()
    assert repr(lock) == "<RLock(None, 0)>"
    for n in range(1, 4):
        lock.acquire()
        assert repr(lock) == f"<RLock(MainProcess, {n})>"
    assert in_thread(repr, lock) == "<RLock(SomeOtherThread, nonzero)>"
    for _ in range(3):
        lock.release()
    assert repr(lock) == "<RLock(None, 0)>"


def hold_until(lock: Any, held: Any, done: Any) -> None:
    with lock:
        held.set()
        assert done.wait(30)


def test_repr_of_a_lock_held_elsewhere(start_method: str, make: Any) -> None:
    texts = {"Lock": "<Lock(owner=SomeOtherProcess)>", "RLock": "<RLock(SomeOtherProcess, nonzero)>"}
    for kind, text in texts.items():
        lock, held, done = getattr(make, kind)(), make.Event(), make.Event()
        child = start(start_method, hold_until, lock, held, done)
        assert held.wait(30)
        assert repr(lock) == text
        assert lock.locked()
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0.01) is False
        done.set()
        finish(child)
        assert not lock.locked()


def release_it(lock: Any) -> None:
    lock.release()


def test_another_process_may_release_a_lock(start_method: str, make: Any) -> None:
    lock = make.Lock()
    lock.acquire()
    child = start(start_method, release_it, lock)
    finish(child)
    assert lock.acquire(True, 10)
    lock.release()


def refuse_release(lock: Any) -> None:
    with pytest.raises(AssertionError):
        lock.release()


def test_another_process_may_not_release_an_rlock(start_method: str, make: Any) -> None:
    lock = make.RLock()
    lock.acquire()
    lock.acquire()
    finish(start(start_method, refuse_release, lock))
    lock.release()
    assert lock.locked()
    lock.release()


def add_up(lock: Any, total: Any, rounds: int) -> None:
    for _ in range(rounds):
        with lock:
            # A semaphore as a number: read and write are two operations, so that a lost lock shows.
            value = total.get_value()
            for _ in range(value):
                total.acquire()
            for _ in range(value + 1):
                total.release()


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_mutual_exclusion(start_method: str, make: Any, kind: str) -> None:
    lock, total = getattr(make, kind)(), make.Semaphore(0)
    finish(*[start(start_method, add_up, lock, total, 30) for _ in range(3)])
    assert total.get_value() == 90


def test_threads_and_mutual_exclusion(threads: Any) -> None:
    lock = Lock()
    counter = [0]

    def work() -> None:
        for _ in range(2000):
            with lock:
                seen = counter[0]
                counter[0] = seen + 1

    group = [threads.run(work) for _ in range(4)]
    for thread in group:
        thread.join(30)
    assert counter == [8000]


def test_a_signal_handler_runs_while_a_lock_is_waited_for() -> None:
    lock = Lock()
    lock.acquire()
    seen: list[int] = []
    old = signal.signal(signal.SIGALRM, lambda number, frame: (seen.append(number), lock.release()))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert lock.acquire(True, 30)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert seen == [signal.SIGALRM]
    lock.release()


@pytest.mark.parametrize("cls", [Lock, RLock, Condition])
def test_an_exception_of_a_signal_handler_ends_the_wait(cls: Any) -> None:
    class Stop(Exception):
        pass

    def stop(number: int, frame: Any) -> None:
        raise Stop

    lock = cls()
    free = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            free.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    old = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(Stop):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            lock.acquire()
    finally:
        signal.signal(signal.SIGALRM, old)
        free.set()
        holder.join(30)
    assert in_thread(lambda: lock.acquire(True, 10) and not lock.release()) is True


def acquire_forever(lock: Any, ready: Any) -> None:
    ready.release()
    lock.acquire()


def test_a_killed_waiter_is_nobodys_business(start_method: str, make: Any) -> None:
    lock, ready = make.Lock(), make.Semaphore(0)
    lock.acquire()
    child = start(start_method, acquire_forever, lock, ready)
    assert ready.acquire(True, 30)
    time.sleep(0.05)
    child.kill()
    child.join(30)
    lock.release()
    assert lock.acquire(True, 10)
    lock.release()


def test_signatures() -> None:
    assert str(inspect.signature(Lock)) == str(inspect.signature(RLock))
    assert "ctx" in inspect.signature(Lock).parameters
    assert "on_owner_death" in inspect.signature(Lock).parameters
    lock = Lock(ctx=None)
    eventually(lambda: lock.acquire(False))
    lock.release()
