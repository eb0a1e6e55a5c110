"""The child that the fork server has forked ahead: it is there, it is used, and it is nobody's burden."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

import procession_process as pp
from procession_process._launch import _zygotes
from procession_process._tree import children_of

from .watched import state, wait_until

pytestmark = pytest.mark.linux_only


def nothing():
    pass


def tell(writes):
    os.write(writes.detach(), f"{os.getpid()} {pp.current_process().name}".encode())


class Sent:
    """A descriptor that travels with the start of a process."""

    def __init__(self, fd):
        self.fd = fd

    def __reduce__(self):
        from procession_core import current_transfer

        return _same, (current_transfer().send_fd(self.fd),)


def _same(sent):
    return sent


def run_one():
    process = pp.ForkServerProcess(target=nothing)
    process.start()
    process.join(30)
    assert process.exitcode == 0
    process.close()


@pytest.fixture
def spare():
    """Return the pid of a spare that waits for its message."""
    run_one()
    zygote = _zygotes._connection.zygote
    wait_until(lambda: len(children_of(zygote)) == 1)
    [pid] = children_of(zygote)
    wait_until(lambda: state(pid) == "S")
    return pid


def test_the_next_start_takes_it(spare, leak_check):
    reads, writes = os.pipe()
    process = pp.ForkServerProcess(target=tell, args=(Sent(writes),), name="taken")
    process.start()
    os.close(writes)
    assert process.pid == spare
    assert os.read(reads, 100) == f"{spare} taken".encode()
    process.join(30)
    assert process.exitcode == 0
    process.close()
    os.close(reads)
    zygote = _zygotes._connection.zygote
    wait_until(lambda: len(children_of(zygote)) == 1)
    assert spare not in children_of(zygote)


def test_nobody_is_told_of_it(spare):
    assert spare not in [process.pid for process in pp.active_children()]


def test_a_killed_one_is_replaced(spare, leak_check):
    zygote = _zygotes._connection.zygote
    os.kill(spare, signal.SIGKILL)
    wait_until(lambda: spare not in children_of(zygote))
    run_one()
    wait_until(lambda: len(children_of(zygote)) == 1 and spare not in children_of(zygote))
    run_one()


def test_a_stopped_one_is_a_child_that_has_not_come_far(spare):
    os.kill(spare, signal.SIGSTOP)
    process = pp.ForkServerProcess(target=nothing)
    process.start()
    assert process.pid == spare and process.is_alive() and process.exitcode is None
    run_one()  # the next does not wait for it
    process.kill()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    process.close()


def test_it_dies_with_a_killed_fork_server(spare):
    os.kill(_zygotes._connection.zygote, signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{spare}"))
    run_one()


def test_signals_of_the_terminal_do_not_end_it(spare):
    os.kill(spare, signal.SIGINT)
    process = pp.ForkServerProcess(target=nothing)
    process.start()
    assert process.pid == spare
    process.join(30)
    assert process.exitcode == 0
    process.close()


def test_many_at_once_and_one_after_another(leak_check):
    run_one()
    leak_check.rebase()
    for number in (8, 1, 3):
        processes = [pp.ForkServerProcess(target=nothing) for _ in range(number)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
            assert process.exitcode == 0
            process.close()


THREADED = """
    import threading, time
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
"""

PROGRAM = """
    import time
    import procession_process as pp
    from procession_process._launch import _zygotes
    from procession_process._tree import children_of
    def nothing(): pass
    if __name__ == "__main__":
        pp.set_forkserver_preload(["has_a_thread"])
        for _ in range(3):
            process = pp.ForkServerProcess(target=nothing)
            process.start()
            process.join()
            print(process.exitcode, children_of(_zygotes._connection.zygote))
"""


def test_a_fork_server_with_threads_has_none(tmp_path):
    (tmp_path / "has_a_thread.py").write_text(textwrap.dedent(THREADED))
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    run = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60)
    assert run.stdout == "0 []\n" * 3, run.stderr


REGISTERED = """
    import os
    import procession_core
    class Thing: pass
    thing = Thing()
    called = []
    procession_core.register_after_fork(thing, lambda thing: called.append(os.getpid()))
    def check():
        assert called == [os.getpid()], called
    if __name__ == "__main__":
        import procession_process as pp
        for _ in range(3):
            process = pp.ForkServerProcess(target=check)
            process.start()
            process.join()
            print(process.exitcode)
"""


def test_what_is_registered_for_children_runs_once(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(REGISTERED))
    run = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60)
    assert run.stdout == "0\n" * 3, run.stderr
