"""What can go wrong in a worker, and where: each costs exactly the task that it struck."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_core import OwnerDiedError, WorkerDiedError
from procession_pool import (
    BrokenPoolError,
    MaybeEncodingError,
    PoisonTaskError,
    RemoteError,
    SoftTimeoutError,
    TaskTimeoutError,
)
from procession_synchronize import Lock

from . import tasks

DEATHS = ["crash", "segfault", "exit"]
ERRORS = {"sysexit": SystemExit, "raise": RuntimeError, "interrupt": KeyboardInterrupt}


def submit(pool: Any, place: str, name: str) -> Any:
    """Start the disaster ``name`` at ``place``."""
    if place == "unpickle":
        return pool.apply_async(tasks.same, (tasks.ActsAtUnpickle(name),))
    if place == "task":
        return pool.apply_async(tasks.act, (name,))
    if place == "returning":
        return pool.apply_async(tasks.return_acting, (name, os.getpid()))
    if place == "gc":
        return pool.apply_async(tasks.act_in_gc, (name,))
    if place == "lock":
        return pool.apply_async(tasks.act_with_lock, (name,))
    return pool.apply_async(tasks.act_in_thread, (name,))


@pytest.mark.parametrize("name", DEATHS)
def test_deaths(make_pool: Callable[..., Any], name: str) -> None:
    pool = make_pool(2)
    others = pool.map_async(tasks.slow_square, range(200), 1)
    struck = {
        place: submit(pool, place, name)
        for place in ("unpickle", "task", "returning", "gc", "lock", "thread")
    }
    more = pool.imap(tasks.square, range(200))
    for place, result in struck.items():
        with pytest.raises(WorkerDiedError) as caught:
            result.get(60)
        error = caught.value
        assert error.attempt == 1, place
        assert error.pid is not None
        if name == "exit":
            assert (error.exitcode, error.signal_name) == (17, None), place
        else:
            expected = "SIGKILL" if name == "crash" else "SIGSEGV"
            assert (error.signal_name, error.exitcode) == (expected, -getattr(signal, expected)), place
        if name == "segfault":
            assert error.stack is not None and "segfault" in error.stack, place
    assert others.get(60) == [x * x for x in range(200)]
    assert list(more) == [x * x for x in range(200)]
    assert pool.apply(tasks.square, (3,)) == 9


@pytest.mark.native_only  # without the core the lock of a dead process stays locked
@pytest.mark.parametrize("name", [*DEATHS, *ERRORS])
def test_disasters_of_who_holds_a_shared_lock(make_pool: Callable[..., Any], name: str) -> None:
    lock = Lock()
    pool = make_pool(2, initializer=tasks.set_state, initargs=(lock,))
    assert pool.map(tasks.with_shared_lock, [None] * 4, 1) == ["done"] * 4
    with pytest.raises(WorkerDiedError if name in DEATHS else ERRORS[name]):
        pool.apply(tasks.with_shared_lock, (name,))
    if name in DEATHS:
        # Who waits is told, and nobody waits for ever.
        with pytest.raises(OwnerDiedError):
            pool.apply_async(tasks.with_shared_lock, (None,)).get(60)
    else:
        assert pool.map(tasks.with_shared_lock, [None] * 4, 1) == ["done"] * 4
    assert pool.apply(tasks.square, (3,)) == 9


@pytest.mark.parametrize("name", [*DEATHS, *ERRORS])
@pytest.mark.linux_only
def test_disasters_in_the_fork(tmp_path: Any, name: str) -> None:
    # In a handler of os.register_at_fork(), for the first three workers: what they had been given is done by others.
    code = f"""
        import os, sys
        sys.path[:0] = {sys.path!r}
        from tests.pool import tasks
        from procession_pool import Pool
        from procession_process import ForkProcess

        class Fork:
            Process = ForkProcess

        def strike():
            for n in range(3):
                try:
                    os.close(os.open(f"{tmp_path}/{{n}}", os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    continue
                tasks.act({name!r})

        os.register_at_fork(after_in_child=strike)
        with Pool(4, context=Fork()) as pool:
            for method in (pool.map, lambda f, items, size: list(pool.imap(f, items, size))):
                print(method(tasks.square, range(100), 1) == [x * x for x in range(100)])
    """
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=100, cwd=root
    )
    assert done.stdout == "True\nTrue\n", done.stderr
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ERRORS)
def test_exceptions_in_gc_and_in_threads_harm_nobody(make_pool: Callable[..., Any], name: str) -> None:
    pool = make_pool(1)
    pid = pool.apply(tasks.pid)
    assert submit(pool, "gc", name).get(60) == "survived"
    assert submit(pool, "thread", name).get(60) == "survived"
    assert pool.apply(tasks.pid) == pid


@pytest.mark.parametrize("name", ERRORS)
def test_exceptions_while_the_pool_pickles(make_pool: Callable[..., Any], name: str) -> None:
    pool = make_pool(1)
    elsewhere = tasks.ActsAtPickle(name, 0)  # acts in this process
    with pytest.raises(ERRORS[name]):
        pool.apply_async(tasks.same, (elsewhere,)).get(60)
    with pytest.raises(ERRORS[name]):
        pool.map(tasks.same, [1, elsewhere, 3], 1)
    assert pool.map(tasks.square, range(5), 1) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("place", ["unpickle", "task", "returning", "lock"])
def test_exceptions(make_pool: Callable[..., Any], place: str) -> None:
    pool = make_pool(1)
    workers = [w.pid for w in pool._pool]
    for name, expected in ERRORS.items():
        wanted: Any = (expected, MaybeEncodingError) if place == "returning" else expected
        with pytest.raises(wanted):
            submit(pool, place, name).get(60)
    assert pool.apply(tasks.square, (3,)) == 9
    assert [w.pid for w in pool._pool] == workers


def test_errors_of_pickling(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    with pytest.raises(MaybeEncodingError) as caught:
        pool.apply(tasks.return_lock)
    assert "lock" in caught.value.value and "pickle" in caught.value.exc
    with pytest.raises(TypeError, match="pickle"):
        pool.apply(tasks.same, (pool._engine._guard,))
    results = pool.map_async(tasks.same, [1, pool._engine._guard, 3], 1)
    with pytest.raises(TypeError, match="pickle"):
        results.get(60)
    with pytest.raises(RemoteError) as stand_in:
        pool.apply(tasks.raise_stubborn)
    assert stand_in.value.type_name.endswith("tasks.Stubborn")
    assert "1 and 2" in str(stand_in.value) and "raise_stubborn" in stand_in.value.tb
    with pytest.raises(RemoteError) as stand_in:
        pool.apply(tasks.raise_unpicklable)
    assert "has a lock" in str(stand_in.value)
    with pytest.raises(ValueError, match="no way back"):
        pool.apply(tasks.return_bad_at_home)
    assert pool.map(tasks.square, range(10), 1) == [x * x for x in range(10)]


def test_a_death_costs_one_task_of_a_map(make_pool: Callable[..., Any], tmp_path: Any) -> None:
    pool = make_pool(2)
    results = [pool.apply_async(tasks.die_if_odd_first_time, (str(tmp_path), x)) for x in range(12)]
    for x, result in enumerate(results):
        if x % 2:
            with pytest.raises(WorkerDiedError):
                result.get(60)
        else:
            assert result.get(60) == x


def test_retries_and_quarantine(make_pool: Callable[..., Any], tmp_path: Any) -> None:
    pool = make_pool(2)
    results = [
        pool.apply_async(tasks.die_if_odd_first_time, (str(tmp_path), x), retries=2, backoff=0.01)
        for x in range(6)
    ]
    assert [r.get(60) for r in results] == list(range(6))
    with pytest.raises(PoisonTaskError, match="3 attempts") as caught:
        pool.apply_async(tasks.crash, retries=2).get(60)
    assert caught.value.attempt == 3
    assert list(pool.imap(tasks.square, range(5), retries=1)) == [0, 1, 4, 9, 16]


def test_hard_timeout(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    others = pool.map_async(tasks.slow_square, range(100), 1)
    started = time.monotonic()
    with pytest.raises(TaskTimeoutError, match="timeout") as caught:
        pool.apply_async(tasks.nap, (30,), timeout=0.2).get(60)
    assert caught.value.stack is not None and "in nap" in caught.value.stack
    assert caught.value.signal_name == "SIGKILL"
    assert time.monotonic() - started < 20
    assert others.get(60) == [x * x for x in range(100)]
    assert pool.apply_async(tasks.square, (4,), timeout=30).get(60) == 16


def test_soft_timeout(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    assert pool.apply_async(tasks.catch_soft_timeout, soft_timeout=0.2).get(60) == "cleaned up"
    with pytest.raises(SoftTimeoutError):
        pool.apply_async(tasks.spin, (30,), soft_timeout=0.2).get(60)
    # Calls into C that a signal interrupts: a sleep, a lock.
    with pytest.raises(SoftTimeoutError):
        pool.apply_async(tasks.nap, (30,), soft_timeout=0.2).get(60)
    with pytest.raises(SoftTimeoutError):
        pool.apply_async(tasks.wait_for_nothing, soft_timeout=0.2).get(60)
    assert pool.apply_async(tasks.square, (4,), soft_timeout=30).get(60) == 16
    # One that ignores it has a hard one, too.
    with pytest.raises(TaskTimeoutError):
        pool.apply_async(tasks.ignore_soft_timeouts, soft_timeout=0.1, timeout=1).get(60)
    assert pool.apply(tasks.square, (3,)) == 9


def limit(make_pool: Callable[..., Any]) -> int:
    """What a worker may use: some more than it begins with, which is what this process has if it is forked."""
    pool = make_pool(1)
    here: int = pool.apply(tasks.private_data)
    pool.terminate()
    # Without the GIL the interpreter's allocator maps a gigabyte before it uses it.
    return here + ((2200 if "t" in getattr(sys, "abiflags", "") else 100) << 20)


def test_memory_limit(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, memory_limit=limit(make_pool))
    pool.apply(tasks.square, (2,))
    first = pool._pool[0]
    with pytest.raises(MemoryError):
        pool.apply(tasks.eat_memory, (4000,))
    first.join(60)
    assert first.exitcode == 0
    assert pool.apply(tasks.eat_memory, (10,)) == 10 << 20


def test_a_memory_limit_that_small_objects_use_up(make_pool: Callable[..., Any]) -> None:
    # Nothing is left then, not even for the report, which needs some.
    pool = make_pool(1, memory_limit=limit(make_pool))
    first = pool._pool[0]
    with pytest.raises(MemoryError):
        pool.apply(tasks.hoard)
    first.join(60)
    assert first.exitcode == 0
    assert pool.apply(tasks.square, (3,)) == 9


def test_tasks_that_leave_next_to_no_memory(make_pool: Callable[..., Any]) -> None:
    # What is short then is short anywhere between the end of a task and the beginning of the next. And CPython has a
    # few errors for that in reserve; a forked worker begins without those that are in use here.
    held = [MemoryError() for _ in range(40)]
    pool = make_pool(1, memory_limit=limit(make_pool))
    for spare in (*range(0, 480, 40), 600, 2000, 9000, 20000, 100000, 600000):
        for how in ("raise", "number") if spare % 120 else ("object", "number"):
            try:
                pool.apply(tasks.hoard_all_but, (spare, how))
            except (MemoryError, ValueError):
                pass
    assert pool.starmap(tasks.add, [(1, 2), (3, 4)]) == [3, 7]
    del held


@pytest.mark.linux_only
def test_a_worker_that_dies_of_its_memory_limit(make_pool: Callable[..., Any]) -> None:
    most = limit(make_pool)
    pool = make_pool(1, memory_limit=most)
    with pytest.raises(WorkerDiedError, match=f"had used up its memory_limit of {most} bytes") as caught:
        pool.apply(tasks.cannot_even_report)
    assert caught.value.out_of_memory is True and caught.value.stack is None
    with pytest.raises(WorkerDiedError, match="with a memory_limit .* code in C") as caught:
        pool.apply(tasks.abort)
    assert caught.value.out_of_memory is None
    assert pool.apply(tasks.square, (3,)) == 9


def test_killed_while_idle(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    assert pool.map(tasks.square, range(4), 1) == [0, 1, 4, 9]
    for _ in range(5):
        victim = pool._pool[0]
        os.kill(victim.pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while victim in pool._pool and time.monotonic() < deadline:
            time.sleep(0.001)
        assert pool.map(tasks.square, range(20), 1) == [x * x for x in range(20)]
    deadline = time.monotonic() + 30
    while len(pool._pool) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(pool._pool) == 2


def test_cancel_of_running_work_replaces_the_worker(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    assert pool.apply(tasks.square, (2,)) == 4
    result = pool.apply_async(tasks.nap, (60,))
    time.sleep(0.2)
    assert not result.cancel(running=False)
    assert result.cancel()
    assert pool.apply_async(tasks.square, (3,)).get(30) == 9


@pytest.mark.parametrize("name", ["raise", "sysexit"])
def test_an_initializer_that_raises_breaks_the_pool(make_pool: Callable[..., Any], name: str) -> None:
    pool = make_pool(2, initializer=tasks.act, initargs=(name,))
    with pytest.raises(BrokenPoolError) as caught:
        pool.apply_async(tasks.square, (2,)).get(60)
    if name == "raise":
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert "in wrong" in str(caught.value.__cause__.__cause__)
    with pytest.raises(BrokenPoolError):
        pool.map(tasks.square, range(3))
    pool.close()
    pool.join()


@pytest.mark.parametrize("name", DEATHS)
def test_an_initializer_that_kills_breaks_the_pool(make_pool: Callable[..., Any], name: str) -> None:
    pool = make_pool(2, initializer=tasks.act, initargs=(name,))
    with pytest.raises(BrokenPoolError, match="died before"):
        pool.apply_async(tasks.square, (2,)).get(60)


def test_state_and_hooks(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, initializer=tasks.set_state, initargs=(5,), on_exit=tasks.farewell)
    assert pool.apply(tasks.get_state) == 5
    pids = {w.pid for w in pool._pool}
    pool.close()
    pool.join()
    assert {value[1] for value in pool.exit_values()} == pids
    assert pool.init_values() == [("initialised", 5)] * 2


def test_maxtasksperchild(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, maxtasksperchild=5)
    pids = pool.map(tasks.pid, range(40), 1)
    assert max(pids.count(p) for p in pids) <= 5
    assert len(set(pids)) >= 8


def test_a_worker_that_is_no_daemon_may_have_a_pool(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2, daemon=False)
    assert pool.map(tasks.sum_in_a_pool, [3, 4], 1) == [5, 14]
    pool = make_pool(1)
    with pytest.raises(AssertionError, match="daemonic"):
        pool.apply(tasks.sum_in_a_pool, (3,))


def test_a_worker_may_run_a_thread_pool(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    assert pool.apply(tasks.nested, (5,)) == [0, 1, 4, 9, 16]
