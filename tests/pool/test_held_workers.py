"""Forked workers that have had no task yet: asleep within their fork, and no different to anybody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import procession_process
from procession_core import WorkerDiedError
from procession_pool import Pool

from . import tasks

pytestmark = pytest.mark.linux_only

FORK = SimpleNamespace(Process=procession_process.ForkProcess)


def run(code: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    # From Python 3.14 on fork is not the default.
    program = "import procession_process\nprocession_process.set_start_method('fork')\n" + textwrap.dedent(
        code
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=timeout)


def wait_until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_every_worker_takes_its_tasks() -> None:
    with Pool(6, context=FORK) as pool:
        pids = pool.map(tasks.nap_and_pid, [0.2] * 6, 1)
        assert set(pids) == {worker.pid for worker in pool._pool}


def test_close_without_any_task() -> None:
    for _ in range(20):
        pool = Pool(5, context=FORK)
        workers = list(pool._pool)
        pool.close()
        pool.join()
        assert [worker.exitcode for worker in workers] == [0] * 5


def test_terminate_without_any_task() -> None:
    for _ in range(20):
        pool = Pool(5, context=FORK)
        workers = list(pool._pool)
        pool.terminate()
        pool.join()
        assert all(worker.exitcode is not None for worker in workers)


def test_they_show_the_program_as_it_was_when_the_pool_was_made() -> None:
    done = run(
        """
        from procession_pool import Pool
        value = "before"
        def get(x):
            import time
            time.sleep(0.1)
            return value
        with Pool(4) as pool:
            value = "after"
            print(*pool.map(get, range(4), 1))
        """
    )
    assert done.stdout.split() == ["before"] * 4, done.stderr


def test_an_initializer_runs_at_once(tmp_path: Path) -> None:
    with Pool(4, initializer=tasks.touch, initargs=(str(tmp_path), 1), context=FORK):
        wait_until(lambda: len(list(tmp_path.iterdir())) == 4)


def test_they_end_with_a_parent_that_is_killed() -> None:
    code = """
        import os, time
        from procession_pool import Pool
        pool = Pool(6)
        print(*[worker.pid for worker in pool._pool], flush=True)
        time.sleep(60)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    pids = [int(word) for word in child.stdout.readline().split()]
    assert len(pids) == 6
    child.kill()
    child.wait(30)
    child.stdout.close()
    wait_until(lambda: all(map(gone, pids)))


def test_they_end_when_their_parent_becomes_another_program() -> None:
    code = """
        import os, sys
        from procession_pool import Pool
        pool = Pool(6)
        print(*[worker.pid for worker in pool._pool], flush=True)
        os.execv(sys.executable, [sys.executable, "-c", "input()"])
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    pids = [int(word) for word in child.stdout.readline().split()]
    assert len(pids) == 6
    wait_until(lambda: all(map(gone, pids)))
    child.communicate("\n", timeout=30)


def test_the_thread_that_made_the_pool_may_end() -> None:
    pools: list[Any] = []
    thread = threading.Thread(target=lambda: pools.append(Pool(4, context=FORK)))
    thread.start()
    thread.join()
    (pool,) = pools
    with pool:
        pids = {worker.pid for worker in pool._pool}
        assert set(pool.map(tasks.nap_and_pid, [0.2] * 4, 1)) == pids


@pytest.mark.native_only
def test_an_interrupt_and_other_signals_do_not_end_them() -> None:
    with Pool(4, context=FORK) as pool:
        workers = list(pool._pool)
        for worker in workers[1:]:
            os.kill(worker.pid, signal.SIGINT)
            os.kill(worker.pid, signal.SIGURG)
            os.kill(worker.pid, signal.SIGSTOP)
            os.kill(worker.pid, signal.SIGCONT)
        assert set(pool.map(tasks.nap_and_pid, [0.2] * 4, 1)) == {worker.pid for worker in workers}


@pytest.mark.native_only  # elsewhere, as in any fork, it may come while handlers after forks run
def test_a_handler_of_the_program_runs_in_them() -> None:
    # A signal that comes before Python runs in the child is not forgotten.
    done = run(
        """
        import os, signal, sys
        from procession_pool import Pool
        def leave(number, frame):
            sys.exit(23)
        signal.signal(signal.SIGTERM, leave)
        # On one CPU it comes before the worker has run at all.
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        pool = Pool(4)
        worker = pool._pool[2]
        os.kill(worker.pid, signal.SIGTERM)
        worker.join(10)
        print(worker.exitcode)
        pool.terminate()
        pool.join()
        """
    )
    assert done.stdout == "23\n", done.stderr


def test_one_that_is_killed_is_replaced() -> None:
    with Pool(4, context=FORK) as pool:
        victims = list(pool._pool[1:])
        for worker in victims:
            os.kill(worker.pid, signal.SIGKILL)
        wait_until(lambda: not set(victims) & set(pool._pool) and len(pool._pool) == 4)
        assert pool.map(tasks.square, range(20), 1) == [x * x for x in range(20)]


def test_a_death_at_the_first_task() -> None:
    with Pool(4, context=FORK) as pool:
        results = [pool.apply_async(tasks.act, ("exit",)) for _ in range(4)]
        for result in results:
            with pytest.raises(WorkerDiedError):
                result.get(60)
        assert pool.apply(tasks.square, (3,)) == 9


def test_a_fork_of_somebody_else_is_not_held() -> None:
    with Pool(4, context=FORK):
        pid = os.fork()
        if pid == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    failed = Pool(4, context=FORK)
    failed.terminate()
    failed.join()


def test_a_fork_that_fails_holds_nobody() -> None:
    done = run(
        """
        import os, sys
        from procession_pool import Pool
        real, left = os.fork, 2
        def fork():
            global left
            left -= 1
            if left < 0:
                raise OSError("no more")
            return real()
        os.fork = fork
        try:
            Pool(4)
        except OSError as error:
            print(error)
        pid = real()
        if pid == 0:
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert done.stdout == "no more\n7\n", done.stderr


@pytest.mark.native_only
def test_the_registry_has_their_names() -> None:
    done = run(
        """
        import time, procession_native
        from procession_pool import Pool
        with Pool(3) as pool:
            wanted = {worker.name for worker in pool._pool}
            deadline = time.monotonic() + 30
            while not wanted <= (found := {process["name"] for process in procession_native.core.processes()}):
                assert time.monotonic() < deadline, found
        print("found")
        """
    )
    assert done.stdout == "found\n", done.stderr


def test_logging_shows_all_workers_from_the_start() -> None:
    pytest.importorskip("procession")
    done = run(
        """
        import logging, procession
        procession.log_to_stderr(logging.INFO)
        pool = procession.get_context("fork").Pool(3)
        pool.close()
        pool.join()
        """
    )
    assert done.stderr.count("child process calling self.run()") == 3, done.stderr
