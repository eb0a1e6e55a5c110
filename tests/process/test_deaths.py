"""Somebody is killed, at every stage: nothing hangs, nobody is orphaned, nothing leaks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import procession_process as pp

from .watched import alive, start_program, wait_until

pytestmark = pytest.mark.faults


def nothing():
    pass


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def sleep_long():
    time.sleep(1000)


def segfault():
    signal.raise_signal(signal.SIGSEGV)  # of this thread, which os.kill() is not


class KillsOnUnpickling:
    def __reduce__(self):
        return kill_self, ()


class FailsOnUnpickling:
    def __reduce__(self):
        return int, ("not a number",)


class KillsAtExit(pp.Process):
    def run(self):
        import atexit

        atexit.register(kill_self)


@pytest.fixture
def warm(method, leak_check):
    process = pp.Process(target=nothing, daemon=True)
    process.start()
    process.join()
    process.close()
    leak_check.rebase()
    return method


def test_child_killed_in_run(warm):
    process = pp.Process(target=kill_self)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    assert process.death.signal_name == "SIGKILL"
    assert process.death.out_of_memory in (False, None)
    process.close()


def test_child_killed_while_unpickling(warm):
    if warm == "fork":
        pytest.skip("fork pickles nothing")
    process = pp.Process(target=nothing, args=(KillsOnUnpickling(),))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    process.close()


def test_child_fails_while_unpickling(warm):
    if warm == "fork":
        pytest.skip("fork pickles nothing")
    process = pp.Process(target=nothing, args=(FailsOnUnpickling(),))
    process.start()
    process.join(30)
    assert process.exitcode == 1
    process.close()


def test_child_killed_at_exit(warm):
    process = KillsAtExit()
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    process.close()


def test_child_killed_at_once(warm):
    for _ in range(10):
        process = pp.Process(target=sleep_long)
        process.start()
        process.kill()
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
        process.close()


def test_interpreter_is_missing(leak_check, tmp_path):
    before = pp.get_executable()
    pp.set_executable(str(tmp_path / "none"))
    try:
        process = pp.SpawnProcess(target=nothing)
        with pytest.raises(FileNotFoundError):
            process.start()
        assert process.exitcode is None and process not in pp.active_children()
    finally:
        pp.set_executable(before)


def abort():
    os.abort()


def overflow_the_stack():
    import faulthandler

    faulthandler._stack_overflow()


def crash_in_a_thread():
    import threading

    thread = threading.Thread(target=segfault)
    thread.start()
    thread.join()


def crash_at_exit():
    import atexit

    atexit.register(segfault)


CRASHES = [
    (segfault, signal.SIGSEGV, "in segfault"),
    (abort, signal.SIGABRT, "in abort"),
    (overflow_the_stack, signal.SIGSEGV, "in overflow_the_stack"),
    (crash_in_a_thread, signal.SIGSEGV, "in segfault"),
    (crash_at_exit, signal.SIGSEGV, "in segfault"),
]


class CrashesOnUnpickling:
    def __reduce__(self):
        return segfault, ()


@pytest.fixture
def with_faulthandler():
    import faulthandler

    if not faulthandler.is_enabled():
        faulthandler.enable(file=sys.__stderr__)


@pytest.mark.parametrize(
    ("crash", "number", "line"), CRASHES, ids=[crash.__name__ for crash, _, _ in CRASHES]
)
def test_stack_of_a_crash(warm, with_faulthandler, crash, number, line):
    process = pp.Process(target=crash)
    process.start()
    process.join(30)
    assert process.exitcode == -number
    assert process.death.signal_name == number.name and process.death.out_of_memory is None
    assert line in process.death.stack
    process.close()


def test_stack_of_a_crash_before_run(warm, with_faulthandler):
    if warm == "fork":
        pytest.skip("fork pickles nothing")
    process = pp.Process(target=nothing, args=(CrashesOnUnpickling(),))
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGSEGV
    assert "in segfault" in process.death.stack
    process.close()


def test_killed_fork_server(leak_check):
    from procession_process._launch import _zygotes

    first = pp.ForkServerProcess(target=nothing)
    first.start()
    first.join()
    leak_check.rebase()
    orphan = pp.ForkServerProcess(target=sleep_long)
    orphan.start()
    os.kill(_zygotes._connection.zygote, signal.SIGKILL)
    second = pp.ForkServerProcess(target=nothing)
    second.start()
    second.join(30)
    assert second.exitcode == 0
    assert orphan.is_alive()
    orphan.kill()
    orphan.join(30)
    assert orphan.exitcode == 255
    for process in (first, orphan, second):
        process.close()


FORKED_AMID = """
    import os, signal, threading
    import procession_process as pp
    from procession_process._launch import _boot
    def nothing(): pass
    def start_one():
        process = pp.ForkServerProcess(target=nothing)
        process.start()
        process.join()
        return process.exitcode
    def work():
        start_one()
        os.kill(os.getppid(), signal.SIGSTOP)
        thread = threading.Thread(target=start_one)
        thread.start()
        while not _boot.asking.locked():
            pass
        pid = os.fork()
        if pid == 0:
            os._exit(start_one())
        os.kill(os.getppid(), signal.SIGCONT)
        thread.join()
        os.write(1, b"%d" % os.waitpid(pid, 0)[1])
    if __name__ == "__main__":
        process = pp.ForkServerProcess(target=work)
        process.start()
        process.join(30)
        process.terminate_tree()
"""


def test_a_fork_while_a_thread_asks_the_fork_server(tmp_path):
    """The child's own start does not wait for that thread, which it has not."""
    output, error = start_program(FORKED_AMID, tmp_path).communicate(timeout=60)
    assert output == "0", error


KILLED_EARLY = """
    import os, sys
    import procession_process as pp
    def say(text):
        os.write(1, (text + "\\n").encode())
    if __name__ == "__main__":
        pp.set_forkserver_preload(["killed_early"])
        for text in ("first", "second", "third"):
            process = pp.ForkServerProcess(target=say, args=(text,))
            process.start()
            process.join()
            say(f"{process.exitcode}")
"""

# Loaded by the fork server, which kills itself while it starts a child: before it tells the parent, or between that
# and its word to the child. The next fork server finds the file and does nothing. The first child is forked when it is
# asked for, the second was forked before.
KILLER = """
    import os, procession_process._zygote as zygote
    real, told = zygote._Zygote.send, 0
    def last_words():
        if not os.path.exists("done"):
            open("done", "w").close()
            os.kill(os.getpid(), 9)
    def send(self, client, message, fds=()):
        global told
        told += message[:1] == b"P"
        if told == CHILD and WHEN == "before":
            last_words()
        real(self, client, message, fds)
        if told == CHILD:
            last_words()
    zygote._Zygote.send = send
"""


@pytest.mark.parametrize("child", [1, 2])
@pytest.mark.parametrize("when", ["before", "between"])
def test_fork_server_killed_while_it_starts_a_child(tmp_path, when, child):
    """The child runs, once, whatever the parent was told."""
    (tmp_path / "killed_early.py").write_text(f"WHEN, CHILD = {when!r}, {child}\n{textwrap.dedent(KILLER)}")
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(KILLED_EARLY))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    expected = ["first", "0", "second", "0", "third", "0"]
    expected[2 * child - 1] = "255"
    assert done.stdout.split() == expected, done.stderr
    assert (tmp_path / "done").exists()


FAMILY = """
    import os, sys, time
    import procession_process as pp
    def child():
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(1000)
    if __name__ == "__main__":
        pp.set_start_method(sys.argv[1])
        children = [pp.Process(target=child, daemon=sys.argv[2] == "daemon") for _ in range(3)]
        if sys.argv[3] == "thread":  # PR_SET_PDEATHSIG would fire when this thread ends
            import threading
            thread = threading.Thread(target=lambda: [c.start() for c in children])
            thread.start()
            thread.join()
        else:
            [c.start() for c in children]
        time.sleep(1000)
"""


@pytest.mark.parametrize("starter", ["main", "thread"])
def test_daemons_die_with_a_killed_parent(start_method, starter, tmp_path):
    parent = start_program(FAMILY, tmp_path, start_method, "daemon", starter)
    pids = [int(parent.stdout.readline()) for _ in range(3)]
    assert all(map(alive, pids))
    parent.kill()
    wait_until(lambda: not any(map(alive, pids)))
    parent.communicate(timeout=30)


def test_others_survive_a_killed_parent(start_method, tmp_path):
    parent = start_program(FAMILY, tmp_path, start_method, "no", "main")
    pids = [int(parent.stdout.readline()) for _ in range(3)]
    parent.kill()
    parent.wait(30)
    try:
        assert all(map(alive, pids))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)))
    parent.communicate(timeout=30)  # EOF: the fork server has gone too


def test_one_traceback_for_an_interrupt(start_method, tmp_path):
    parent = start_program(FAMILY, tmp_path, start_method, "no", "main", start_new_session=True)
    [parent.stdout.readline() for _ in range(3)]
    os.killpg(parent.pid, signal.SIGINT)
    _, error = parent.communicate(timeout=30)
    assert error.count("Traceback") == 1, error
    assert parent.returncode in (-signal.SIGINT, 130, 1)


TREE = """
    import os, signal, sys, time
    import procession_process as pp
    def leaf():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(1000)
    def middle():
        child = pp.ForkProcess(target=leaf)
        child.start()
        child.join()
    if __name__ == "__main__":
        pp.set_start_method(sys.argv[1])
        top = pp.Process(target=middle)
        top.start()
        os.write(1, b"ready\\n")
        sys.stdin.readline()
        top.terminate_tree(timeout=0.2)
        print("exit code", top.exitcode, flush=True)
"""


def test_terminate_tree(start_method, tmp_path):
    parent = start_program(TREE, tmp_path, start_method)
    lines = {parent.stdout.readline().strip() for _ in range(2)}
    leaf = int((lines - {"ready"}).pop())
    output, error = parent.communicate("\n", timeout=30)
    assert output.strip() == "exit code -15", error
    assert not alive(leaf)


STORM = """
    import os, sys, time
    import procession_process as pp
    def nothing(): pass
    if __name__ == "__main__":
        pp.set_start_method(sys.argv[1])
        print("go", flush=True)
        while True:
            p = pp.Process(target=time.sleep, args=(0.02,), daemon=True)
            p.start()
            p.join(0.001)
"""


def members(group):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.getpgid(int(name)) == group and alive(int(name)):
                    found.append(int(name))
            except OSError:
                pass
    return found


@pytest.mark.parametrize("delay", [0, 0.003, 0.01, 0.05])
def test_parent_killed_anywhere(start_method, delay, tmp_path):
    parent = start_program(STORM, tmp_path, start_method, start_new_session=True)
    parent.stdout.readline()
    time.sleep(delay)
    parent.kill()
    parent.communicate(timeout=30)
    wait_until(lambda: not members(parent.pid))


@pytest.mark.linux_only
def test_the_sentinel_of_a_parent_that_is_gone_already() -> None:
    import select

    from procession_process._parent import ParentProcess

    ended = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(ended, 0)
    for pid in (ended, 1):  # gone; not the parent any more
        sentinel = ParentProcess("x", pid, None).sentinel
        with select.epoll() as poller:
            poller.register(sentinel, select.EPOLLIN)
            assert poller.poll(5)
        os.close(sentinel)


@pytest.mark.linux_only
def test_join_without_descriptors() -> None:
    code = """
        import os, resource, time
        import procession_process as pp
        child = pp.ForkProcess(target=time.sleep, args=(0.2,))
        child.start()
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
        try:
            while True:
                os.dup(0)
        except OSError:
            child.join(20)
        os._exit(child.exitcode)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)
