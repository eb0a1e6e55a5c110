"""The manual of Python 2.6: Introduction, Process and exceptions, Miscellaneous, Programming guidelines.

Each paragraph that states a behaviour is a test, named after its section; test_manual_2009.py lists where today's
documentation says something else.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import procession as mp


def put_current(queue):
    process = mp.current_process()
    queue.put((process.name, process.pid, os.getpid(), os.getppid(), bytes(process.authkey), process.daemon))


def put_arguments(queue, *args, **kwds):
    queue.put((args, kwds))


def put_grandchild_name(queue):
    child = mp.Process(target=put_current, args=(queue,))
    child.start()
    child.join()


def sleep_until_killed(ready=None):
    if ready is not None:
        ready.set()
    time.sleep(600)


def leave_marks(ready, path):
    try:
        ready.set()
        time.sleep(600)
    finally:
        open(path, "w").close()


def start_daemon_and_end(queue):
    child = mp.Process(target=sleep_until_killed)
    child.daemon = True
    child.start()
    queue.put(child.pid)


def start_child_and_wait(queue):
    child = mp.Process(target=sleep_until_killed)
    child.start()
    queue.put(child.pid)
    child.join()


def try_to_have_children(queue):
    try:
        mp.Process(target=int).start()
    except AssertionError as error:
        queue.put(type(error).__name__)
    else:
        queue.put("it could")


def use_from_another_process(process, queue):
    errors = []
    for use in (process.start, process.join, process.is_alive):
        try:
            use()
        except AssertionError:
            errors.append("AssertionError")
        except Exception as error:
            errors.append(repr(error))
        else:
            errors.append("none")
    queue.put(errors)


class Overriding(mp.Process):
    def __init__(self, queue):
        super().__init__()
        self.queue = queue

    def run(self):
        self.queue.put("run of the subclass")


def ran(process):
    process.start()
    process.join()
    return process.exitcode


def run_program(text, tmp_path, *options):
    path = tmp_path / "program.py"
    path.write_text(text)
    return subprocess.run(
        [sys.executable, *options, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def gone(pid):
    """Wait until no such process is left but, perhaps, as a zombie."""
    for _ in range(1000):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] in "ZX":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


# ---- Introduction -------------------------------------------------------------------------------------------------


def test_introduction_the_process_class():
    queue = mp.Queue()
    process = mp.Process(target=put_current, args=(queue,))
    process.start()
    name, pid, real, parent, _, _ = queue.get(timeout=30)
    process.join()
    assert (name, pid, real, parent) == (process.name, process.pid, process.pid, os.getpid())


def test_introduction_functions_of_the_interactive_interpreter_cannot_be_found(tmp_path):
    # The children import the main module; without one, under spawn, they have no function f.
    text = "import procession as mp\nmp.set_start_method('spawn')\n" + "\n".join(
        (
            "def f(x):",
            "    return x * x",
            "",
            "p = mp.Process(target=f, args=(3,))",
            "p.start(); p.join()",
            "print(p.exitcode)",
        )
    )
    plain = "import sys; sys.modules['cloudpickle'] = None\n"
    done = subprocess.run(
        [sys.executable, "-i", "-q"], input=plain + text + "\n", capture_output=True, text=True, timeout=60
    )
    assert "PicklingError" in done.stderr and "cloudpickle" in done.stderr


def test_introduction_a_lock_keeps_output_apart(tmp_path):
    done = run_program(
        """
from procession import Process, Lock
import sys
def f(l, i):
    l.acquire()
    for part in ('hello', ' world ', str(i), chr(10)):
        sys.stdout.write(part)
        sys.stdout.flush()
    l.release()
if __name__ == '__main__':
    lock = Lock()
    for num in range(10):
        Process(target=f, args=(lock, num)).start()
""",
        tmp_path,
    )
    assert sorted(done.stdout.splitlines()) == sorted(f"hello world {n}" for n in range(10)), done.stderr


# ---- Process and exceptions ---------------------------------------------------------------------------------------


def test_process_constructor_group_is_none():
    with pytest.raises(AssertionError):
        mp.Process(group=object())


def test_process_constructor_no_target_means_nothing_is_called():
    assert ran(mp.Process()) == 0


def test_process_constructor_names_are_unique_and_tell_the_generation():
    queue = mp.Queue()
    first, second = mp.Process(), mp.Process()
    assert first.name != second.name and first.name.startswith("Process-")
    child = mp.Process(target=put_grandchild_name, args=(queue,))
    child.start()
    name = queue.get(timeout=30)[0]
    child.join()
    assert name == f"{child.name}:1"


def test_process_constructor_arguments_of_the_target():
    queue = mp.Queue()
    process = mp.Process(target=put_arguments, args=(queue, 1, "two"), kwargs={"three": 3})
    process.start()
    assert queue.get(timeout=30) == ((1, "two"), {"three": 3})
    process.join()


def test_process_run_can_be_overridden():
    queue = mp.Queue()
    process = Overriding(queue)
    process.start()
    assert queue.get(timeout=30) == "run of the subclass"
    process.join()


def test_process_run_invokes_the_target_here():
    found = []
    mp.Process(target=found.append, args=(1,)).run()
    assert found == [1]


def test_process_start_at_most_once():
    process = mp.Process(target=int)
    assert ran(process) == 0
    with pytest.raises(AssertionError):
        process.start()


def test_process_join_with_a_timeout_and_many_times():
    ready = mp.Event()
    process = mp.Process(target=sleep_until_killed, args=(ready,))
    process.start()
    assert ready.wait(30)
    process.join(0.01)
    assert process.is_alive() and process.exitcode is None
    process.terminate()
    process.join()
    process.join()
    process.join(None)
    assert not process.is_alive()


def test_process_join_not_before_the_start_and_not_itself():
    with pytest.raises(AssertionError):
        mp.Process().join()
    with pytest.raises(AssertionError):
        mp.current_process().join()


def test_process_name_has_no_semantics():
    first, second = mp.Process(name="same"), mp.Process(name="same")
    assert first.name == second.name == "same"
    first.name = "other"
    assert first.name == "other"
    assert ran(first) == ran(second) == 0


def test_process_is_alive_from_start_to_the_end():
    process = mp.Process(target=sleep_until_killed)
    assert not process.is_alive()
    process.start()
    assert process.is_alive()
    process.terminate()
    process.join()
    assert not process.is_alive()


def test_process_daemon_is_set_before_the_start_and_inherited():
    process = mp.Process(target=sleep_until_killed)
    assert process.daemon is mp.current_process().daemon is False
    process.daemon = True
    process.start()
    with pytest.raises(AssertionError):
        process.daemon = False
    assert process.daemon is True
    process.terminate()
    process.join()


@pytest.mark.linux_only
def test_process_daemon_is_terminated_when_its_parent_exits():
    queue = mp.Queue()
    process = mp.Process(target=start_daemon_and_end, args=(queue,))
    process.start()
    pid = queue.get(timeout=30)
    process.join()
    assert gone(pid)


def test_process_daemon_may_not_have_children():
    queue = mp.Queue()
    process = mp.Process(target=try_to_have_children, args=(queue,), daemon=True)
    process.start()
    assert queue.get(timeout=30) != "it could"
    process.join()


def test_process_pid_is_none_before_the_start():
    process = mp.Process(target=int)
    assert process.pid is None
    process.start()
    assert isinstance(process.pid, int) and process.pid != os.getpid()
    process.join()


def test_process_exitcode():
    process = mp.Process(target=sys.exit, args=(7,))
    assert process.exitcode is None
    assert ran(process) == 7
    killed = mp.Process(target=sleep_until_killed)
    killed.start()
    assert killed.exitcode is None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL


def test_process_authkey_is_random_and_inherited():
    ours = mp.current_process().authkey
    assert isinstance(ours, bytes) and len(ours) >= 16
    process = mp.Process()
    assert process.authkey == ours
    process.authkey = b"another"
    assert process.authkey == b"another" and mp.current_process().authkey == ours


def test_process_authkey_in_the_child():
    queue = mp.Queue()
    process = mp.Process(target=put_current, args=(queue,))
    process.authkey = b"its own"
    process.start()
    assert queue.get(timeout=30)[4] == b"its own"
    process.join()


def test_process_terminate_runs_no_finally_clauses(tmp_path):
    ready = mp.Event()
    process = mp.Process(target=leave_marks, args=(ready, str(tmp_path / "mark")))
    process.start()
    assert ready.wait(30)
    process.terminate()
    process.join()
    assert process.exitcode == -signal.SIGTERM and not (tmp_path / "mark").exists()


@pytest.mark.linux_only
def test_process_terminate_leaves_descendants_orphaned():
    queue = mp.Queue()
    process = mp.Process(target=start_child_and_wait, args=(queue,))
    process.start()
    grandchild = queue.get(timeout=30)
    process.terminate()
    process.join()
    os.kill(grandchild, 0)
    os.kill(grandchild, signal.SIGKILL)
    assert gone(grandchild)


@pytest.mark.skipif(mp.get_start_method() != "fork", reason="a started process object can only be inherited")
def test_process_methods_are_for_its_creator():
    queue = mp.Queue()
    process = mp.Process(target=sleep_until_killed)
    process.start()
    other = mp.Process(target=use_from_another_process, args=(process, queue))
    other.start()
    assert queue.get(timeout=30) == ["AssertionError"] * 3
    other.join()
    process.terminate()
    process.join()


def test_process_example_representation_shows_the_state():
    process = mp.Process(target=sleep_until_killed)
    assert "initial" in repr(process) and process.name in repr(process)
    process.start()
    assert "started" in repr(process)
    process.terminate()
    process.join()
    assert "stopped" in repr(process) and "SIGTERM" in repr(process)
    assert process.exitcode == -signal.SIGTERM


def test_exceptions_buffer_too_short():
    first, second = mp.Pipe()
    first.send_bytes(b"eleven long")
    with pytest.raises(mp.BufferTooShort) as caught:
        second.recv_bytes_into(bytearray(3))
    assert caught.value.args[0] == b"eleven long"
    assert issubclass(mp.BufferTooShort, mp.ProcessError)


# ---- Miscellaneous ------------------------------------------------------------------------------------------------


def test_miscellaneous_active_children_joins_those_that_have_finished():
    process = mp.Process(target=sleep_until_killed)
    process.start()
    assert process in mp.active_children()
    process.terminate()
    for _ in range(1000):
        if process not in mp.active_children():
            break
        time.sleep(0.01)
    assert process not in mp.active_children()
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, 0)


def test_miscellaneous_cpu_count():
    assert mp.cpu_count() == os.cpu_count()


def test_miscellaneous_current_process():
    assert mp.current_process().name == "MainProcess"
    assert mp.current_process().pid == os.getpid()


def test_miscellaneous_freeze_support_has_no_effect():
    assert mp.freeze_support() is None


def test_miscellaneous_set_executable(tmp_path):
    done = run_program(
        f"""
import procession as mp, os, sys
if __name__ == '__main__':
    mp.set_start_method('spawn')
    mp.set_executable({str(tmp_path / "python")!r})
    p = mp.Process(target=int)
    try:
        p.start()
    except OSError as error:
        print('not found')
    mp.set_executable(sys.executable)
    p = mp.Process(target=int)
    p.start(); p.join(); print(p.exitcode)
""",
        tmp_path,
    )
    assert done.stdout.split() == ["not", "found", "0"], done.stderr


# ---- Programming guidelines ---------------------------------------------------------------------------------------


def test_guidelines_zombies_are_joined_by_the_next_start():
    ended = mp.Process(target=int)
    ended.start()
    os.waitid(
        os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT
    ) if mp.get_start_method() == "fork" else ended.join()
    other = mp.Process(target=int)
    other.start()
    with pytest.raises(ChildProcessError):
        os.waitpid(ended.pid, os.WNOHANG)
    other.join()


@pytest.mark.skipif(mp.get_start_method() != "fork", reason="only there are they children of this process")
def test_guidelines_zombies_are_joined_by_is_alive():
    process = mp.Process(target=int)
    process.start()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not process.is_alive()
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def test_guidelines_processes_that_are_no_daemons_are_joined_at_exit(tmp_path):
    done = run_program(
        """
import procession as mp, time
def late():
    time.sleep(0.3)
    print('late', flush=True)
if __name__ == '__main__':
    mp.Process(target=late).start()
    print('early', flush=True)
""",
        tmp_path,
    )
    assert done.stdout == "early\nlate\n", done.stderr


def test_guidelines_resources_are_passed_explicitly(tmp_path):
    # The parent forgets the lock at once: the running child keeps it.
    done = run_program(
        """
import procession as mp, time
def use(lock, ready):
    ready.wait()
    with lock:
        print('locked', flush=True)
if __name__ == '__main__':
    ready = mp.Event()
    lock = mp.Lock()
    processes = [mp.Process(target=use, args=(lock, ready)) for _ in range(3)]
    for process in processes:
        process.start()
    del lock, processes[:]
    ready.set()
""",
        tmp_path,
    )
    assert done.stdout == "locked\n" * 3, done.stderr


UNSAFE = """
import procession as mp
mp.set_start_method('spawn', force=True)
def foo():
    print('hello')
{guard}
    p = mp.Process(target=foo)
    p.start()
    p.join()
"""


def test_guidelines_windows_safe_importing_of_the_main_module(tmp_path):
    done = run_program(UNSAFE.format(guard="if True:"), tmp_path)
    assert "RuntimeError" in done.stderr and "hello" not in done.stdout
    done = run_program(UNSAFE.format(guard="if __name__ == '__main__':"), tmp_path)
    assert done.stdout == "hello\n", done.stderr


def test_guidelines_windows_global_variables(tmp_path):
    done = run_program(
        """
import procession as mp
mp.set_start_method('spawn', force=True)
CONSTANT, variable = 'constant', 'as imported'
def show():
    print(CONSTANT, variable)
if __name__ == '__main__':
    variable = 'changed'
    p = mp.Process(target=show)
    p.start()
    p.join()
""",
        tmp_path,
    )
    assert done.stdout == "constant as imported\n", done.stderr
