"""A child is stopped and killed at a chosen stage of its start; what the parent sees is the same everywhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import procession_process as pp

from .watched import alive, start_program, state, wait_until

pytestmark = [pytest.mark.faults, pytest.mark.linux_only]


def nothing():
    pass


def sleep_long():
    time.sleep(1000)


def stop_here(_=None):
    os.kill(os.getpid(), signal.SIGSTOP)


class StopsWhileUnpickling:
    def __reduce__(self):
        return stop_here, ()


def killed_where_it_stopped(process):
    wait_until(lambda: state(process.pid) == "T")
    assert process.is_alive() and process.exitcode is None
    process.kill()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert process not in pp.active_children()
    process.close()


@pytest.fixture
def interpreters(tmp_path):
    """Give a path of an executable that stops itself instead of becoming an interpreter."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -STOP $$\nexit 3\n")
    program.chmod(0o755)
    before = pp.get_executable()
    pp.set_executable(str(program))
    yield
    pp.set_executable(before)


def test_spawned_child_killed_before_its_interpreter_runs(interpreters, leak_check):
    process = pp.SpawnProcess(target=nothing)
    process.start()
    killed_where_it_stopped(process)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_child_killed_during_preparation(method, leak_check, tmp_path, monkeypatch):
    # The hook runs after the child is in the arena and before __main__ and its arguments are there. The zygote is
    # prepared too, and must pass.
    (tmp_path / "test_stages_hooks.py").write_text(
        "import os, signal, sys\ndef stop(value):\n"
        "    if 'procession_process._zygote' not in sys.modules or os.getppid() != value:\n"
        "        os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    kind = {"spawn": pp.SpawnProcess, "forkserver": pp.ForkServerProcess}[method]
    warm = kind(target=nothing)  # the resources of a fork server are there to stay
    warm.start()
    warm.join()
    warm.close()
    leak_check.rebase()
    pp.register_extra("stages", "test_stages_hooks:stop", os.getpid())
    try:
        process = kind(target=nothing)
        process.start()
    finally:
        pp.unregister_extra("stages")
    killed_where_it_stopped(process)


@pytest.mark.parametrize("kind", [pp.SpawnProcess, pp.ForkServerProcess])
def test_child_killed_between_two_arguments(kind, leak_check):
    warm = kind(target=nothing)
    warm.start()
    warm.join()
    warm.close()
    leak_check.rebase()
    process = kind(target=nothing, args=(StopsWhileUnpickling(), StopsWhileUnpickling()))
    process.start()
    killed_where_it_stopped(process)


GRANDCHILDREN = """
    import os, signal, sys, time
    import procession_process as pp
    def leaf():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(1000)
    def middle():
        children = [pp.ForkServerProcess(target=leaf) for _ in range(2)]
        for child in children: child.start()
        for child in children: child.join()
    def bystander():
        os.write(1, b"%d\\n" % -os.getpid())
        time.sleep(1000)
    if __name__ == "__main__":
        other = pp.ForkServerProcess(target=bystander, daemon=True)
        other.start()
        top = {"fork": pp.ForkProcess, "spawn": pp.SpawnProcess, "forkserver": pp.ForkServerProcess}[sys.argv[1]](
            target=middle)
        top.start()
        os.write(1, b"ready\\n")
        sys.stdin.readline()
        top.terminate_tree(timeout=0.2)
        print("exit code", top.exitcode, other.is_alive(), flush=True)
"""


@pytest.mark.native_only
def test_terminate_tree_finds_what_a_fork_server_made(start_method, tmp_path):
    parent = start_program(GRANDCHILDREN, tmp_path, start_method)
    lines = [parent.stdout.readline().strip() for _ in range(4)]
    leaves = [int(line) for line in lines if line != "ready" and int(line) > 0]
    assert len(leaves) == 2
    output, error = parent.communicate("\n", timeout=30)
    assert output.strip() == "exit code -15 True", error
    assert not any(map(alive, leaves))


INTERRUPT = """
    import os, sys, time
    import procession_process as pp
    def work():
        os.write(1, b"ready\\n")
        time.sleep(1000)
    if __name__ == "__main__":
        pp.set_start_method(sys.argv[1])
        process = pp.Process(target=work)
        process.start()
        sys.stdin.readline()
        process.interrupt()
        process.join(30)
        print("exit code", process.exitcode, flush=True)
"""


def test_interrupt_is_the_child_s_alone(start_method, tmp_path):
    parent = start_program(INTERRUPT, tmp_path, start_method, start_new_session=True)
    assert parent.stdout.readline() == "ready\n"
    output, error = parent.communicate("\n", timeout=60)
    assert output == "exit code 1\n", error
    assert error.count("Traceback") <= 1  # that of the child; the parent, of the same group, got no signal


THREADED = """
    import sys, threading, warnings
    import procession_process as pp
    def nothing(): pass
    if __name__ == "__main__":
        release = threading.Event()
        if sys.argv[2] == "threads":
            threading.Thread(target=release.wait).start()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kind = {"fork": pp.ForkProcess, "spawn": pp.SpawnProcess, "forkserver": pp.ForkServerProcess}[sys.argv[1]]
            process = kind(target=nothing)
            process.start()
            process.join()
        release.set()
        print(process.exitcode, [w.category.__name__ for w in caught if "multi-threaded" in str(w.message)])
"""


@pytest.mark.parametrize("threads", ["threads", "none"])
def test_fork_beside_threads_warns_as_the_interpreter_does(start_method, threads, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(THREADED))
    run = subprocess.run(
        [sys.executable, str(program), start_method, threads], capture_output=True, text=True, timeout=60
    )
    warns = start_method == "fork" and threads == "threads" and sys.version_info >= (3, 12)
    assert run.stdout.strip() == f"0 {['DeprecationWarning'] if warns else []}", run.stderr
