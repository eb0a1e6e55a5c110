from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import procession_process as pp


def nothing():
    pass


def leave(code):
    sys.exit(code)


def fail():
    raise ValueError("on purpose")


def sleep_long():
    time.sleep(1000)


def report(fd_path):
    me, parent = pp.current_process(), pp.parent_process()
    with open(fd_path, "w") as file:
        print(me.name, parent.name, parent.pid, os.getpid(), me.daemon, bytes(me.authkey).hex(), file=file)
        print(sys.argv, os.getcwd(), parent.is_alive(), pp.active_children(), file=file)


class Subclass(pp.Process):
    def __init__(self, path):
        super().__init__(name="subclassed")
        self.path = path

    def run(self):
        with open(self.path, "w") as file:
            file.write(self.name)


def test_start_and_join(method, leak_check):
    first = pp.Process(target=nothing)
    first.start()
    first.join()
    leak_check.rebase()
    process = pp.Process(target=nothing)
    assert (process.pid, process.exitcode, process.is_alive()) == (None, None, False)
    process.start()
    assert isinstance(process.pid, int)
    assert process in pp.active_children() or process.exitcode == 0  # it may have ended already
    process.join()
    assert process.exitcode == 0 and not process.is_alive()
    assert process not in pp.active_children()
    first.close()
    process.close()


@pytest.mark.parametrize(
    ("code", "expected"), [(None, 0), (0, 0), (7, 7), (True, 1), (False, 0), (-1, 255), ("text", 1), ([1], 1)]
)
def test_exit_codes(method, code, expected):
    process = pp.Process(target=leave, args=(code,))
    process.start()
    process.join(60)
    assert process.exitcode == expected


def test_identity(method, tmp_path):
    process = pp.Process(target=report, args=(str(tmp_path / "out"),), name="reporter", daemon=True)
    process.start()
    process.join(60)
    first, second = (tmp_path / "out").read_text().splitlines()
    key = bytes(pp.current_process().authkey).hex()
    assert first.split() == ["reporter", "MainProcess", str(os.getpid()), str(process.pid), "True", key]
    assert second == f"{sys.argv} {os.getcwd()} True []"


def test_subclass(method, tmp_path):
    process = Subclass(str(tmp_path / "out"))
    process.start()
    process.join(60)
    assert (tmp_path / "out").read_text() == "subclassed"


@pytest.mark.parametrize(("act", "number"), [("terminate", 15), ("kill", 9)])
def test_signals(method, act, number):
    process = pp.Process(target=sleep_long)
    process.start()
    getattr(process, act)()
    process.join(60)
    assert process.exitcode == -number
    assert process.death.signal_name == signal.Signals(number).name
    assert f"exitcode=-{signal.Signals(number).name}" in repr(process)
    getattr(process, act)()


def test_sentinel(method):
    process = pp.Process(target=sleep_long)
    with pytest.raises(ValueError, match="process not started"):
        process.sentinel  # noqa: B018
    process.start()
    poller = select.poll()
    poller.register(process.sentinel, select.POLLIN)
    assert poller.poll(0) == []
    process.kill()
    assert poller.poll(60_000)
    assert process.exitcode == -9


def test_join_with_timeout(method):
    process = pp.Process(target=sleep_long)
    process.start()
    process.join(0.01)
    assert process.exitcode is None and process.is_alive()
    process.join(-1)
    process.kill()
    process.join()


def test_close(method):
    process = pp.Process(target=sleep_long)
    process.start()
    with pytest.raises(ValueError, match="while it is still running"):
        process.close()
    process.kill()
    process.join()
    process.close()
    for name in ("exitcode", "pid", "sentinel", "death"):
        with pytest.raises(ValueError, match="process object is closed"):
            getattr(process, name)
    for name in ("start", "join", "is_alive", "terminate", "kill"):
        with pytest.raises(ValueError, match="process object is closed"):
            getattr(process, name)()
    process.close()
    assert "closed" in repr(process)


GUARDS = """
import os, procession_process as pp
def check(error, text, call):
    try:
        call()
    except error as found:
        if text not in str(found):
            raise
    else:
        raise SystemExit(f"{text}: nothing raised")
def in_daemon():
    check(AssertionError, "daemonic processes are not allowed", pp.Process(target=int).start)
if __name__ == "__main__":
    pp.set_start_method("fork")
    p = pp.Process(target=int)
    check(AssertionError, "can only join a started process", p.join)
    check(AssertionError, "can only terminate a started process", p.terminate)
    p.start()
    check(AssertionError, "cannot start a process twice", p.start)
    check(AssertionError, "process has already started", lambda: setattr(p, "daemon", True))
    check(AssertionError, "group argument must be None", lambda: pp.Process(1))
    check(AssertionError, "name must be a string", lambda: setattr(p, "name", 1))
    check(TypeError, "timeout must be", lambda: p.join("1"))
    check(RuntimeError, "context has already been set", lambda: pp.set_start_method("spawn"))
    check(ValueError, "cannot find context for 'x'", lambda: pp.set_start_method("x", force=True))
    if (pid := os.fork()) == 0:
        check(AssertionError, "can only test a child process", p.is_alive)
        here = f"can only join a child process: 'Process-1' was made by process {os.getppid()}, and this is process "
        check(AssertionError, here, p.join)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("guards in a fork failed")
    p.join()
    d = pp.Process(target=in_daemon, daemon=True)
    d.start(); d.join()
    if d.exitcode:
        raise SystemExit("daemon guard failed")
    print("all guards hold")
"""


def test_guards_hold_without_assertions(tmp_path):
    program = tmp_path / "guards.py"
    program.write_text(GUARDS)
    done = subprocess.run([sys.executable, "-O", str(program)], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "all guards hold", done.stderr


def test_traceback_on_stderr(method, capfd):
    process = pp.Process(target=fail, name="failing")
    process.start()
    process.join(60)
    assert process.exitcode == 1
    error = capfd.readouterr().err
    if method != "forkserver":  # its stderr is that of the first test that used it
        assert "Process failing:" in error and "ValueError: on purpose" in error


def test_unpicklable_arguments_name_the_culprit(start_method):
    if start_method == "fork":
        pytest.skip("fork pickles nothing")
    import threading

    pp.set_start_method(start_method, force=True)
    try:
        process = pp.Process(target=nothing, args=([1, threading.Lock()],))
        with pytest.raises(TypeError, match="cannot pickle") as caught:
            process.start()
        assert "_args[0][1]" in "\n".join(
            caught.value.__notes__
        )  # from Python 3.14 on it has notes of its own
    finally:
        pp.set_start_method(None, force=True)


@pytest.mark.parametrize(
    ("target", "args", "printed"),
    [
        (
            "print",
            "([1, threading.Lock()],)",
            "TypeError obj._args[0][1]: cannot pickle '_thread.lock' object\n",
        ),
        ("here", "()", "PicklingError\n"),  # whose message names what the child could not import
    ],
)
def test_culprit_is_named_where_main_cannot_be_imported(target, args, printed):
    program = textwrap.dedent(f"""
        import sys, threading
        sys.modules["cloudpickle"] = None
        import procession_process as pp
        def here(): pass
        pp.set_start_method("spawn")
        try:
            pp.Process(target={target}, args={args}).start()
        except Exception as error:
            ours = [note for note in getattr(error, "__notes__", []) if note.startswith("obj")]
            print(type(error).__name__, *ours)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == printed, done.stderr


def test_exit_is_silent_when_every_warning_is_an_error(tmp_path, start_method):
    script = tmp_path / "quiet.py"
    script.write_text(
        textwrap.dedent(f"""
        import procession_process as pp
        if __name__ == "__main__":
            pp.set_start_method({start_method!r})
            process = pp.Process(target=print, args=("ran",))
            process.start()
            process.join()
        """)
    )
    command = [sys.executable, "-X", "dev", "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("ran\n", "", 0)


def test_sequence_leaves_nothing(method, leak_check):
    def once():
        process = pp.Process(target=nothing)
        process.start()
        process.join(60)
        assert process.exitcode == 0

    once()
    leak_check.rebase()
    for _ in range(10):
        once()


@pytest.mark.linux_only
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="elsewhere a descriptor's owner is Python")
def test_dropping_an_ended_process_runs_nothing_that_could_lose_an_interrupt(method):
    process = getattr(pp, f"{method.title().replace('server', 'Server')}Process")(target=nothing)
    process.start()
    process.join()
    sentinel = process.sentinel
    pp.active_children()
    called = []
    sys.setprofile(
        lambda frame, event, _: called.append(frame.f_code.co_qualname) if event == "call" else None
    )
    try:
        del process
    finally:
        sys.setprofile(None)
    assert not [name for name in called if "Popen" in name]
    with pytest.raises(OSError):
        os.fstat(sentinel)
