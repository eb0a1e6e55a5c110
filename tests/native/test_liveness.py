"""Who counts as dead: processes that close their descriptors, call exec, or cannot be looked at."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytestmark = [pytest.mark.native_only, pytest.mark.linux_only, pytest.mark.timeout(60)]

PREPARE = """
import os, resource, signal, sys, time
import procession_synchronize as sync
from procession_core import OwnerDiedError
from procession_native import core

def child(run):
    "Fork a child that runs it and then waits to be killed; returns when it has run."
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            run()
            os.write(child_writes(writing), b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    return pid

def child_writes(fd):
    return fd

def end(pid):
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)
"""


def run(program: str) -> str:
    # The programs lock and queue by the classes of other distributions.
    pytest.importorskip("procession_synchronize")
    pytest.importorskip("procession_queues")
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


CLOSES = """
def child_writes(fd):
    # All but the pipe: the descriptors of the arena are closed, and their numbers given to files.
    os.closerange(3, fd)
    os.closerange(fd + 1, 4096)
    return fd
"""


def test_a_process_without_descriptors_is_alive_and_then_dead() -> None:
    run(
        CLOSES
        + """
lock = sync.Lock()
pid = child(lock.acquire)
assert not lock.acquire(True, 0.3)
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
try:
    lock.acquire(True, 10)
except OwnerDiedError as error:
    assert error.pid == pid
else:
    raise SystemExit("no OwnerDiedError")
"""
    )


def test_nobody_is_declared_dead_for_want_of_descriptors() -> None:
    run(
        CLOSES
        + """
lock = sync.Lock()
pid = child(lock.acquire)
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
taken = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
try:
    while True:
        taken.append(os.dup(0))
except OSError:
    pass
assert not lock.acquire(True, 0.3)
for fd in taken:
    os.close(fd)
end(pid)
try:
    lock.acquire(True, 10)
except OwnerDiedError:
    pass
else:
    raise SystemExit("no OwnerDiedError")
"""
    )


def test_exec_ends_a_process_though_the_new_program_has_an_arena() -> None:
    run(
        """
lock = sync.Lock()
reading, writing = os.pipe()
os.set_inheritable(writing, True)
pid = os.fork()
if pid == 0:
    lock.acquire()
    os.execv(sys.executable, [sys.executable, "-c",
        "import os, time; from procession_native import core; core.ensure();"
        f"os.write({writing}, b'x'); time.sleep(60)"])
os.close(writing)
assert os.read(reading, 1) == b"x"
try:
    assert lock.acquire(True, 10), "a process that called exec still counts as the owner"
except OwnerDiedError:
    pass
else:
    raise SystemExit("no OwnerDiedError")
end(pid)
"""
    )


def test_files_with_the_numbers_of_our_descriptors_stay_as_they_are(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "victim"
    run(
        f"""
import procession_queues
queue = procession_queues.Queue()
queue.put(1)
assert queue.get() == 1
fd = queue._reader.fileno() if hasattr(queue, "_reader") else -1
os.closerange(3, 4096)
files = [os.open({str(path)!r}, os.O_RDWR | os.O_CREAT) for _ in range(40)]
os.write(files[0], b"mine")
blocks = []
try:
    for _ in range(300):
        blocks.append(core.Block(1 << 20))     # the arena's file cannot grow any more
except MemoryError:
    pass
blocks.clear()
core.trim()
for item in range(100):
    queue.put(item)
assert [queue.get() for _ in range(100)] == list(range(100))
lock = sync.Lock()
pid = os.fork()
if pid == 0:
    lock.acquire()
    queue.put("child")
    os._exit(0)
os.waitpid(pid, 0)
assert queue.get() == "child"
"""
    )
    assert path.read_bytes() == b"mine"


def test_memory_is_mapped_without_the_descriptor() -> None:
    run(
        """
lock = sync.Lock()
import procession_queues
queue = procession_queues.Queue()
first, second = os.pipe()
pid = os.fork()
if pid == 0:
    code = 1
    try:
        os.closerange(3, first)
        os.closerange(second + 1, 4096)
        os.read(first, 1)
        block = queue.get()                    # lies in windows that this process has never mapped
        big = queue.get()
        ok = bytes(memoryview(block)[:4]) == b"tail" and bytes(memoryview(big)[-4:]) == b"huge"
        code = 0 if ok else 2
    finally:
        os._exit(code)
keep = [core.Block(8 << 20) for _ in range(20)]
block, big = core.Block(8 << 20), core.Block(100 << 20)
memoryview(block)[:4] = b"tail"
memoryview(big)[-4:] = b"huge"
import procession_shm
class Ticket:
    def __init__(self, shared): self.shared = shared
    def __reduce__(self):
        from procession_core import current_transfer
        current_transfer().hold(self.shared)
        return core.open_handle, (self.shared.handle(),)
queue.put(Ticket(block))
queue.put(Ticket(big))
os.write(second, b"x")
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
"""
    )
