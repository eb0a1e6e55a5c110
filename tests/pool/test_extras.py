"""What the pool offers beyond the documented interface."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_pool import CancelledError, Pool, ThreadPool, current_task, get_reusable_pool, log_tasks

from . import tasks


def test_stats() -> None:
    with Pool(2) as pool:
        pool.map(tasks.square, range(100), 1)
        stats = pool.stats()
        assert stats["tasks"] == 100 and stats["queued"] == 0 and stats["deaths"] == 0
        assert sum(w["tasks"] for w in stats["workers"]) == 100
        assert {w["pid"] for w in stats["workers"]} == {p.pid for p in pool._pool}


def test_stats_name_the_slowest_task() -> None:
    with Pool(1) as pool:
        pool.map(tasks.nap, [0.01, 0.2, 0.02], 1)
        (worker,) = pool.stats()["workers"]
        assert worker["slowest"] >= 0.2
        assert "nap(0.2), task 1 of job" in worker["slowest_task"]


def test_a_thread_pool_ends_without_its_tasks() -> None:
    gate = threading.Event()
    pool = ThreadPool(2)
    stuck = pool.apply_async(gate.wait, (60,))
    queued = pool.map_async(tasks.square, range(4), 1)
    pool.terminate()
    pool.join()
    with pytest.raises(CancelledError):
        stuck.get(0)
    with pytest.raises(CancelledError):
        queued.get(0)
    gate.set()


def test_resize() -> None:
    with Pool(1) as pool:
        pool.resize(3)
        assert len(pool._pool) == 3
        pool.resize(1)
        deadline = time.monotonic() + 20
        while len(pool._pool) > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(pool._pool) == 1
        assert pool.map(tasks.square, range(5), 1) == [0, 1, 4, 9, 16]
        with pytest.raises(ValueError):
            pool.resize(0)


def test_resize_under_load(any_pool: Any) -> None:
    with any_pool as pool:
        mapped = pool.map_async(tasks.slow_square, range(600), 1)
        lazy = pool.imap_unordered(tasks.square, range(2000))
        applied = [pool.apply_async(tasks.square, (x,)) for x in range(100)]
        for size in (5, 1, 6, 2, 3, 1) * 2:
            pool.resize(size)
            time.sleep(0.01)
        assert mapped.get(60) == [x * x for x in range(600)]
        assert sum(lazy) == sum(x * x for x in range(2000))
        assert [result.get(60) for result in applied] == [x * x for x in range(100)]
        deadline = time.monotonic() + 30
        while len(pool._pool) != 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(pool._pool) == 1


def test_awaiting_may_be_cancelled(any_pool: Any) -> None:
    async def main() -> None:
        result = any_pool.apply_async(tasks.nap, (0.5,))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_awaited(result), 0.05)
        assert result.cancelled()
        assert await any_pool.apply_async(tasks.square, (3,)) == 9
        iterator = any_pool.imap(tasks.nap, [0.0, 0.5])
        seen = []
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.2):
                async for value in iterator:
                    seen.append(value)
        assert seen == [0.0]

    asyncio.run(main())
    # The loop is closed: what comes now harms nobody.
    assert any_pool.apply(tasks.square, (4,)) == 16


async def _awaited(result: Any) -> Any:
    return await result


def test_idle_workers_end_and_come_back() -> None:
    with Pool(3, idle_timeout=0.1) as pool:
        assert pool.apply(tasks.square, (2,)) == 4
        deadline = time.monotonic() + 20
        while len(pool._pool) > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(pool._pool) == 1
        assert pool.map(tasks.square, range(5), 1) == [0, 1, 4, 9, 16]
        assert len(pool._pool) == 3


def test_reusable_pool() -> None:
    pool = get_reusable_pool(2)
    assert get_reusable_pool() is pool
    assert pool.apply(tasks.square, (3,)) == 9
    assert get_reusable_pool(1) is pool and pool._processes == 1
    pool.terminate()
    pool.join()
    other = get_reusable_pool(1)
    assert other is not pool and other.apply(tasks.square, (3,)) == 9
    other.terminate()
    other.join()


def test_executor(any_pool: Any) -> None:
    executor = any_pool.executor()
    future = executor.submit(tasks.add, 1, 2, c=3)
    assert isinstance(future, concurrent.futures.Future) and future.result(10) == 6
    with pytest.raises(ValueError):
        executor.submit(tasks.raise_value, 1).result(10)
    assert list(executor.map(tasks.add, [1, 2, 3], [4, 5, 6])) == [5, 7, 9]
    assert list(executor.map(tasks.add, range(100), range(100), chunksize=7)) == [2 * i for i in range(100)]
    done, pending = concurrent.futures.wait([executor.submit(tasks.square, i) for i in range(10)], 20)
    assert len(done) == 10 and not pending
    with pytest.raises(TimeoutError):
        list(executor.map(tasks.nap, [0.4, 0.4], timeout=0.05))
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(tasks.square, 1)
    assert any_pool.apply(tasks.square, (5,)) == 25


def test_large_arrays_travel(make_pool: Callable[..., Any]) -> None:
    numpy = pytest.importorskip("numpy")
    pool = make_pool(2)
    arrays = [numpy.full(200_000, i, dtype="f8") for i in range(6)]
    results = pool.map(tasks.same, arrays, 1)
    assert all((a == b).all() for a, b in zip(arrays, results, strict=True))


def test_closures_travel_with_cloudpickle(make_pool: Callable[..., Any]) -> None:
    pytest.importorskip("cloudpickle")
    pool = make_pool(1)
    offset = 5
    assert pool.map(lambda x: x + offset, range(3)) == [5, 6, 7]


@pytest.mark.linux_only
def test_interrupt_ends_a_pool_with_one_traceback() -> None:
    code = """
        import os, signal, threading, time
        from procession_pool import Pool
        if __name__ == "__main__":
            with Pool(3) as pool:
                print("ready", flush=True)
                pool.map(time.sleep, [60] * 6, 1)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.5)
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert errors.count("Traceback") == 1 and "KeyboardInterrupt" in errors


@pytest.mark.linux_only
@pytest.mark.parametrize(
    "call",
    [
        "pool.map(nap, [60] * 6, 1)",
        "pool.apply(nap, (60,))",
        "list(pool.imap(nap, iter([60] * 6)))",
        "pool.map_async(nap, [60] * 6).wait()",
    ],
)
def test_interrupt_from_a_terminal(call: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            f"""
            import time
            from procession_pool import Pool

            def nap(seconds):
                print("started", flush=True)
                time.sleep(seconds)

            if __name__ == "__main__":
                with Pool(3) as pool:
                    {call}
            """
        )
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, str(program)])
    shown = b""
    started = 0.0
    try:
        while True:
            ready, _, _ = select.select([terminal], [], [], 60)
            assert ready, shown
            try:
                data = os.read(terminal, 4096)
            except OSError:  # the terminal's last user is gone
                break
            if not data:
                break
            shown += data
            if b"started" in shown and not started:
                started = time.monotonic()
                os.write(terminal, b"\x03")
    finally:
        os.close(terminal)
        status = os.waitpid(pid, 0)[1]
    assert time.monotonic() - started < 15
    text = shown.decode(errors="replace")
    assert text.count("Traceback") == 1 and text.count("KeyboardInterrupt") == 1, text
    assert os.waitstatus_to_exitcode(status) in (-signal.SIGINT, 1)


def test_a_program_may_forget_its_pool_at_exit() -> None:
    code = """
        from procession_pool import Pool
        if __name__ == "__main__":
            pool = Pool(2)
            print(pool.map(float, range(3)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0.0, 1.0, 2.0]\n", "")


@pytest.mark.slow
def test_many_pools_leave_nothing(leak_check: Any) -> None:
    with Pool(2) as pool:
        pool.map(tasks.square, range(4), 1)
    pool.join()
    leak_check.rebase()
    for i in range(50):
        pool = Pool(2)
        assert pool.apply(tasks.square, (i,)) == i * i
        if i % 2:
            pool.terminate()
        else:
            pool.close()
        pool.join()


@pytest.mark.slow
def test_sixty_four_workers() -> None:
    with Pool(64) as pool:
        assert pool.map(tasks.square, range(2000), 1) == [x * x for x in range(2000)]
        assert sum(pool.imap_unordered(tasks.same, range(2000))) == sum(range(2000))


def test_log_records_say_which_task_they_come_from(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1, initializer=log_tasks)
    assert pool.map(tasks.logged, [1, 2], 1) == ["logged(1)", "logged(2)"]
    assert pool.starmap(tasks.logged, [("a", [3]), ("b", [])], 2) == [
        "logged('a', <list>)",
        "logged('b', <list>)",
    ]
    assert pool.apply(functools.partial(tasks.logged, 5)) == "partial()"
    assert pool.apply(tasks.Logger().log, (7,)) == "Logger.log(7)"


def test_no_task_outside_of_a_worker() -> None:
    assert current_task() == ""
