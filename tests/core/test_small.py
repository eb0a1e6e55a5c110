"""Deadlines, errors, the runtime, transfers, the logger and what an import costs."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import threading

import pytest

import procession_core
from procession_core import (
    AuthenticationString,
    OwnerDiedError,
    Transfer,
    WorkerDiedError,
    check_timeout,
    current_transfer,
    deadline_after,
    default_send_fd,
    remaining,
    runtime,
    set_fd_sharer,
    transfer_scope,
)


def test_deadlines():
    assert deadline_after(None) is None and remaining(None) is None
    assert remaining(deadline_after(-5)) == 0
    assert 50 < remaining(deadline_after(60)) <= 60


@pytest.mark.parametrize(("value", "error"), [("1", TypeError), (math.nan, ValueError), ([], TypeError)])
def test_wrong_timeouts(value, error):
    with pytest.raises(error, match="timeout must be"):
        check_timeout(value)


def test_timeouts():
    assert check_timeout(None) is None
    assert check_timeout(3) == 3.0


def test_errors_keep_their_evidence_through_pickling():
    error = pickle.loads(pickle.dumps(OwnerDiedError("gone", 12, "worker", 1.5)))
    assert (str(error), error.pid, error.name, error.held_for) == ("gone", 12, "worker", 1.5)
    error = pickle.loads(pickle.dumps(WorkerDiedError("gone", task="t", signal_name="SIGKILL")))
    assert (error.task, error.signal_name, error.attempt) == ("t", "SIGKILL", 1)


class Container(Transfer):
    def __init__(self, spawning):
        self.spawning = spawning


def test_authkey():
    assert len(runtime.authkey) >= 32
    assert runtime.authkey is runtime.authkey
    for spawning in (None, False):
        with pytest.raises(TypeError, match="disallowed for security reasons"):
            if spawning is None:
                pickle.dumps(runtime.authkey)
            else:
                with transfer_scope(Container(spawning)):
                    pickle.dumps(runtime.authkey)
    with transfer_scope(Container(True)):
        loaded = pickle.loads(pickle.dumps(runtime.authkey))
    assert loaded == runtime.authkey and isinstance(loaded, AuthenticationString)


def test_transfers_nest_and_belong_to_a_thread():
    outer, inner = Container(False), Container(True)
    seen = []
    with transfer_scope(outer):
        with transfer_scope(inner):
            assert current_transfer() is inner
            thread = threading.Thread(target=lambda: seen.append(current_transfer()))
            thread.start()
            thread.join()
        assert current_transfer() is outer
    assert current_transfer() is None
    assert seen == [None]


def test_descriptors_need_a_sharer():
    from procession_core import _transfer

    before = _transfer._fd_sharer
    try:
        set_fd_sharer(None)
        with pytest.raises(RuntimeError, match="descriptor 0 cannot be sent"):
            default_send_fd(0)
        set_fd_sharer(lambda fd: ("token", fd))
        assert default_send_fd(0) == ("token", 0)
    finally:
        set_fd_sharer(before)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", "True"), ("1", "True"), ("auto", "True"), ("0", "False"), ("require", "True")],
)
def test_variant(value, expected):
    program = "import procession_core; print(procession_core.native_requested())"
    env = {**os.environ, "PROCESSION_NATIVE": value}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=60
    )
    assert done.stdout.strip() == expected, done.stderr


def test_logger():
    program = (
        "import sys, procession_core as c; assert 'logging' not in sys.modules; c.info('unheard');"
        "l = c.log_to_stderr('INFO'); c.info('heard %s', 1); c.debug('too low');"
        "assert l is c.get_logger() and not l.propagate"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[INFO/MainProcess] heard 1"


def test_import_is_light():
    program = "import sys, procession_core; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "typing",
        "re",
        "pickle",
        "logging",
        "threading",
        "socket",
        "tempfile",
        "subprocess",
        "weakref",
    }


def test_all_is_sorted_and_complete():
    assert list(procession_core.__all__) == sorted(
        procession_core.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n)
    )
    for name in procession_core.__all__:
        assert getattr(procession_core, name) is not None
