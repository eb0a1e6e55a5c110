"""Tasks, errors, callbacks and programs that do what they should not: each harms itself alone."""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import procession_process
from procession_core import WorkerDiedError
from procession_pool import (
    BrokenPoolError,
    CancelledError,
    MaybeEncodingError,
    Pool,
    RemoteError,
    TaskTimeoutError,
    ThreadPool,
)

from . import awkward, tasks

pytestmark = pytest.mark.linux_only

FORK = SimpleNamespace(Process=procession_process.ForkProcess)


def works(pool: Any) -> bool:
    return bool(pool.map(tasks.square, range(20), 1) == [x * x for x in range(20)])


def outcome(start: Callable[..., Any]) -> Any:
    """What an error_callback is told, which nobody waits for."""
    got: list[Any] = []
    there = threading.Event()

    def take(value: Any) -> None:
        got.append(value)
        there.set()

    start(callback=take, error_callback=take)
    assert there.wait(30)
    return got[0]


@pytest.mark.parametrize("name", sorted(awkward.ERRORS))
def test_errors_that_end_processes(make_pool: Callable[..., Any], name: str) -> None:
    pool = make_pool(2)
    expected = awkward.CannotBeShown if name == "CannotBeShown" else RemoteError
    with pytest.raises(expected):
        pool.apply(awkward.fail_with, (name,))
    error = outcome(lambda **calls: pool.apply_async(awkward.fail_with, (name,), **calls))
    assert isinstance(error, expected)
    assert works(pool)


def test_a_result_that_cannot_even_be_shown(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    pid = pool._pool[0].pid
    with pytest.raises(MaybeEncodingError, match="repr"):
        pool.apply(awkward.return_result)
    assert works(pool) and pool._pool[0].pid == pid


def test_arguments_that_end_processes(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    with pytest.raises(SystemExit):
        pool.apply_async(tasks.same, (awkward.EndsItsPickler(),)).get(30)
    with pytest.raises(SystemExit):
        pool.apply_async(tasks.same, (awkward.EndsItsReader(),)).get(30)
    assert works(pool)


def test_tasks_that_close_every_descriptor(make_pool: Callable[..., Any], tmp_path: Path) -> None:
    pool = make_pool(2)
    try:
        assert pool.map(awkward.close_everything, range(4), 1) == [0, 1, 2, 3]
    except WorkerDiedError:
        assert os.environ.get("PROCESSION_NATIVE") == "0"  # there the result itself went through one of them
        return
    # Nobody waits: the worker cannot ring, but its end can be seen.
    assert outcome(lambda **calls: pool.apply_async(awkward.close_everything, (1,), **calls)) == 1
    assert (
        outcome(
            lambda **calls: pool.apply_async(awkward.close_everything_and_open, (str(tmp_path),), **calls)
        )
        == 0
    )
    for x in range(20):
        assert outcome(lambda x=x, **calls: pool.apply_async(tasks.same, (x,), **calls)) == x
    # Nothing was written into the files that have the closed ones' numbers.
    assert {path.stat().st_size for path in tmp_path.iterdir()} == {0}
    assert works(pool)


def test_a_child_that_a_task_forked_is_no_worker(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    assert pool.map(awkward.fork_and_come_back, range(30), 1) == list(range(30))
    assert list(pool.imap(awkward.fork_and_come_back, range(30))) == list(range(30))
    with pytest.raises(WorkerDiedError):
        pool.apply(awkward.daemonize, (1,))
    assert works(pool)


def test_children_left_behind_hold_nothing_up(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    left = pool.map(awkward.fork_and_leave, range(3), 1)
    started = time.monotonic()
    pool.close()
    pool.join()
    assert time.monotonic() - started < 20
    for pid in left:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "harm", [awkward.block_signals, awkward.ignore_sigterm, awkward.leave_a_thread, awkward.new_session]
)
def test_workers_that_resist_are_ended(make_pool: Callable[..., Any], harm: Callable[[int], int]) -> None:
    pool = make_pool(2)
    assert pool.map(harm, range(1, 4), 1) if harm is not awkward.new_session else pool.map(harm, [1], 1)
    workers = list(pool._pool)
    started = time.monotonic()
    pool.terminate()
    pool.join()
    assert time.monotonic() - started < 8
    assert not any(worker.is_alive() for worker in workers)


def test_stopped_workers_are_ended(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    with pytest.raises(TaskTimeoutError):
        pool.apply_async(awkward.stop_itself, (1,), timeout=0.5).get(60)
    assert works(pool)
    os.kill(pool._pool[0].pid, signal.SIGSTOP)
    started = time.monotonic()
    pool.terminate()
    pool.join()
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("wait", [0.0, 0.3])
def test_an_initializer_that_hangs(make_pool: Callable[..., Any], wait: float) -> None:
    pool = make_pool(2, initializer=tasks.nap, initargs=(100,))
    result = pool.apply_async(tasks.square, (2,))
    time.sleep(wait)
    pool.close()
    started = time.monotonic()
    pool.terminate()
    pool.join()
    assert time.monotonic() - started < 8
    with pytest.raises(CancelledError):
        result.get(1)


def test_a_pool_in_the_child_of_a_fork() -> None:
    with Pool(2, context=FORK) as pool:
        pending = pool.apply_async(tasks.nap, (0.5,))
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.alarm(60)
                for use in (
                    lambda: pool.apply(tasks.square, (3,)),
                    lambda: pool.apply_async(tasks.square, (3,)).get(),
                    lambda: pool.map(tasks.square, range(3)),
                    lambda: next(pool.imap(tasks.square, range(3))),
                    pending.get,
                    pending.ready,
                ):
                    with pytest.raises(BrokenPoolError, match=f"belongs to process {os.getppid()}"):
                        use()
                pool.close()
                pool.terminate()
                pool.join()
                with Pool(1, context=FORK) as own:
                    assert own.apply(tasks.square, (3,)) == 9
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert pending.get(20) == 0.5
        assert works(pool)


def test_a_result_that_uses_its_pool_while_it_is_unpickled() -> None:
    with Pool(1, context=FORK) as pool:
        awkward.the_pool = pool
        with pytest.raises(RuntimeError, match="cannot be waited for by what it pickles or unpickles"):
            pool.apply_async(awkward.return_a_user).get(30)
        error = outcome(lambda **calls: pool.apply_async(awkward.return_a_user, **calls))
        assert isinstance(error, RuntimeError)
        assert works(pool)
    awkward.the_pool = None


def test_callbacks_that_call_the_pool(any_pool: Any) -> None:
    seen: list[Any] = []
    done = threading.Event()

    def use(value: int) -> None:
        seen.append(any_pool.apply(tasks.square, (value,)))
        seen.append(any_pool.map(tasks.square, range(3), 1))
        done.set()

    any_pool.apply_async(tasks.square, (3,), callback=use)
    assert done.wait(30)
    assert seen == [81, [0, 1, 4]]


def test_a_callback_that_exits(any_pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)
    assert any_pool.apply_async(tasks.square, (2,), callback=lambda _: sys.exit(3)).get(30) == 4
    assert outcome(lambda **calls: any_pool.apply_async(tasks.square, (5,), **calls)) == 25
    assert [type(report.exc_value) for report in reported] == [SystemExit]


@pytest.mark.parametrize("end", ["close", "terminate"])
def test_a_callback_that_ends_the_pool(any_pool: Any, end: str) -> None:
    done = threading.Event()

    def leave(value: int) -> None:
        getattr(any_pool, end)()
        any_pool.join()
        done.set()

    any_pool.apply_async(tasks.square, (2,), callback=leave)
    assert done.wait(30)
    any_pool.terminate()
    any_pool.join()


def test_many_threads_end_a_pool_that_others_wait_for() -> None:
    for _ in range(5):
        pool = Pool(2, context=FORK)
        outcomes: list[str] = []

        def wait(pool: Any = pool, outcomes: list[str] = outcomes) -> None:
            try:
                pool.map(tasks.nap, [0.05] * 100, 1)
            except (CancelledError, ValueError) as error:
                outcomes.append(type(error).__name__)

        waiting = [threading.Thread(target=wait) for _ in range(5)]
        for thread in waiting:
            thread.start()
        ending = [threading.Thread(target=pool.terminate) for _ in range(3)]
        for thread in ending:
            thread.start()
        for thread in waiting + ending:
            thread.join(30)
            assert not thread.is_alive()
        assert len(outcomes) == 5


def test_a_pool_that_finds_no_descriptors_leaves_nothing() -> None:
    Pool(1, context=FORK).terminate()
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) + 40, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            Pool(64, context=FORK)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= len(before)
    assert not procession_process.active_children()


def test_dropping_an_ended_pool_runs_nothing_that_could_lose_an_interrupt() -> None:
    """An interrupt that comes while a finaliser begins or runs is printed and lost; descriptors take long to close."""
    pool: Any = Pool(2, context=FORK)
    assert pool.map(abs, [-1, 2]) == [1, 2]
    pool.terminate()
    pool.join()
    called: list[str] = []
    sys.setprofile(
        lambda frame, event, _: called.append(frame.f_code.co_qualname) if event == "call" else None
    )
    try:
        del pool
    finally:
        sys.setprofile(None)
    assert not [name for name in called if "Popen" in name or "StackFile" in name]


def test_a_task_may_lose_its_folder(tmp_path: Path) -> None:
    with Pool(1, context=FORK) as pool:
        folder = tmp_path / "lost"
        folder.mkdir()
        pool.apply(awkward.lose_the_folder, (str(folder),))
        assert works(pool)


def test_a_failure_of_the_pools_own_thread_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)
    for make in (lambda: Pool(2, context=FORK), lambda: ThreadPool(2)):
        pool: Any = make()
        waiting = pool.apply_async(tasks.nap, (5,))

        def fail(engine: object) -> None:
            raise RuntimeError("a fault of the pool itself")

        monkeypatch.setattr(pool._engine.crew, "tend", fail)
        pool._engine.crew.wake()
        with pytest.raises(BrokenPoolError, match="a fault of the pool itself"):
            waiting.get(30)
        with pytest.raises((BrokenPoolError, ValueError)):
            pool.apply(tasks.square, (2,))
        pool.terminate()
        pool.join()
    assert len(reported) == 2
