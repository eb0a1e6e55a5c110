from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest

from procession_core import Finalize, at_exit, register_after_fork, run_after_forkers, run_finalizers


class Thing:
    pass


def test_finalizer_runs_when_its_object_is_collected():
    calls = []
    thing = Thing()
    finalizer = Finalize(thing, calls.append, args=(1,))
    assert finalizer.still_active()
    del thing
    gc.collect()
    assert calls == [1]
    assert not finalizer.still_active()


def test_finalizer_runs_once_and_returns_the_result():
    finalizer = Finalize(None, lambda: 7, exitpriority=5)
    assert finalizer() == 7
    assert finalizer() is None


def test_cancelled_finalizer_never_runs():
    calls = []
    thing = Thing()
    Finalize(thing, calls.append, args=(1,)).cancel()
    del thing
    gc.collect()
    assert calls == []


def test_priorities_order_the_finalizers_and_errors_do_not_stop_them(capsys):
    calls = []
    for priority in (1, 3, 2):
        Finalize(None, calls.append, args=(priority,), exitpriority=1000 + priority)
    Finalize(None, lambda: 1 / 0, exitpriority=1003)
    Finalize(None, calls.append, args=("newest",), exitpriority=1003)
    run_finalizers(1000)
    assert calls == ["newest", 3, 2, 1]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_wrong_arguments():
    with pytest.raises(ValueError, match="exitpriority cannot be None"):
        Finalize(None, int)
    with pytest.raises(TypeError, match="must be None or int"):
        Finalize(None, int, exitpriority="1")


def test_finalizer_of_another_process_is_inert():
    calls = []
    finalizer = Finalize(None, calls.append, args=(1,), exitpriority=1)
    pid = os.fork()
    if pid == 0:
        finalizer()
        os._exit(len(calls))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finalizer.cancel()


def test_after_forkers_run_in_order_and_do_not_keep_objects():
    calls = []
    first, second, gone = Thing(), Thing(), Thing()
    register_after_fork(first, lambda obj: calls.append(obj is first))
    register_after_fork(second, lambda obj: 1 / 0)
    register_after_fork(second, lambda obj: calls.append(obj is second))
    register_after_fork(gone, lambda obj: calls.append("gone"))
    del gone
    gc.collect()
    run_after_forkers()
    assert calls == [True, True]


def test_exit_function_runs_at_interpreter_exit():
    program = (
        "from procession_core import at_exit; at_exit(lambda: print('b'), -1); at_exit(lambda: print('a'), 1)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["a", "b"]
    assert done.stderr == ""


def test_at_exit_can_be_cancelled():
    calls = []
    at_exit(lambda: calls.append(1), 5000).cancel()
    run_finalizers(5000)
    assert calls == []
