"""Programs in a control group of their own with a memory limit: allocations are refused, kills have their evidence.

Each test makes a group beside all others and removes it. Skipped where no group can be made, with the reason.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.native_only, pytest.mark.linux_only, pytest.mark.timeout(180)]

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")
MB = 1 << 20
ENTER = """
import os, sys
with open(sys.argv[1], "w") as procs:
    procs.write(str(os.getpid()))
os.execv(sys.executable, [sys.executable, sys.argv[2]])
"""
HEAD = """
import gc, pickle, sys
import procession
from procession_shm import memory, native

class Buffer:
    def __init__(self, data):
        self.data = data
    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(self.data),)

def eat(*ignored):
    held = []
    while True:
        held.append(bytearray(4 << 20))

def refused(make, most=100_000):
    "What make() gives until it is refused."
    held = []
    try:
        while len(held) < most:
            held.append(make())
    except MemoryError:
        return held
    raise SystemExit("nothing was refused")

def touch(block):
    view = memoryview(block).cast("B")
    view[::4096] = b"x" * len(view[::4096])
    return block
"""


class Group:
    """A control group that this test made."""

    def __init__(self, path: Path, limit: str, kills: str, zero: tuple[str, ...]) -> None:
        self.path = path
        self._limit, self._kills, self._zero = limit, kills, zero

    def limit(self, megabytes: int) -> None:
        """Limit its memory, without swap."""
        (self.path / self._limit).write_text(str(megabytes * MB))
        for name in self._zero:
            with contextlib.suppress(OSError):
                (self.path / name).write_text("0")

    def kills(self) -> int:
        """How often the kernel has killed in it for lack of memory."""
        words = (self.path / self._kills).read_text().split()
        return int(words[words.index("oom_kill") + 1])

    def remove(self) -> None:
        """End what is left in it, which this test started, and remove it."""
        deadline = time.monotonic() + 20
        while True:
            for pid in (self.path / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            try:
                self.path.rmdir()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def make_group() -> Group:
    name = f"procession-test-{os.getpid()}-{time.monotonic_ns()}"
    if (V1 / "memory.limit_in_bytes").exists():
        group = Group(V1 / name, "memory.limit_in_bytes", "memory.oom_control", ("memory.swappiness",))
    elif (V2 / "cgroup.controllers").exists():
        if (V2 / "memory.events").exists():
            pytest.skip("in a container: the kills would count in its group too, which others judge by")
        group = Group(V2 / name, "memory.max", "memory.events", ("memory.swap.max",))
    else:
        pytest.skip("no control groups with the memory controller are mounted")
    try:
        group.path.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    if not (group.path / group._limit).exists():
        group.remove()
        pytest.skip("the memory controller is not enabled for groups of one's own")
    return group


@pytest.fixture
def group():
    made = make_group()
    yield made
    made.remove()


@pytest.fixture
def run(group, tmp_path):
    """Run a program in the group; it must end by itself and print these lines."""

    def run_it(source: str, megabytes: int, *lines: str, kills: int = 0) -> None:
        group.limit(megabytes)
        program = tmp_path / "program.py"
        program.write_text(f"{HEAD}\n{source}")
        done = subprocess.run(
            [sys.executable, "-c", ENTER, str(group.path / "cgroup.procs"), str(program)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, tuple(done.stdout.splitlines())) == (0, lines), done.stderr
        assert group.kills() == kills

    return run_it


# ---- allocations ---------------------------------------------------------------------------------------------


def test_too_much_at_once_changes_nothing(run):
    run(
        """
native.ensure()
before = memory()
for size in (100 << 20, 1 << 40):
    try:
        native.Block(size)
    except MemoryError as error:
        print("refused")
after = memory()
assert after["file_size"] == before["file_size"], (before, after)
assert native.check() is None
touch(native.Block(8 << 20))
""",
        80,
        "refused",
        "refused",
    )


@pytest.mark.parametrize("size", [1000, 60_000, 300 << 10, MB, 8 * MB, 17 * MB])
def test_every_block_that_was_given_can_be_written(run, size):
    run(
        f"""
size = {size}
held = refused(lambda: native.Block(size))        # nobody has touched one of them yet
assert len(held) * size > 30 << 20, len(held)
for block in held:
    touch(block)
del held, block
gc.collect()
held = refused(lambda: touch(native.Block(size)))
assert len(held) * size > 30 << 20, len(held)
assert native.check() is None
print("good")
""",
        80,
        "good",
    )


def test_free_memory_of_the_wrong_size_is_used(run):
    run(
        """
held = refused(lambda: touch(native.Block(1 << 20)))
n = len(held)
del held
gc.collect()
held = refused(lambda: touch(native.Block(20 << 20)))
assert len(held) >= n // 20 - 1, (n, len(held))
print("good")
""",
        80,
        "good",
    )


def test_messages_are_refused_whole(run):
    run(
        """
queue = procession.Queue()
source = Buffer(bytearray(b"x") * (2 << 20))
n = len(refused(lambda: queue.put(source)))
assert n > 10 and queue.qsize() == n
assert len(queue.get().data) == 2 << 20
gc.collect()
queue.put(source)
for i in range(n):
    queue.get()
gc.collect()
n = len(refused(lambda: queue.put(b"x" * 1000), 1_000_000))
assert n > 10_000 and queue.qsize() == n, n
for i in range(n):
    assert len(queue.get()) == 1000
reader, writer = procession.Pipe(False)
large = Buffer(bytearray(b"x") * (40 << 20))
refused(lambda: writer.send(large), 1)
writer.send(source)
assert len(reader.recv().data) == 2 << 20
assert native.check() is None
print("good")
""",
        80,
        "good",
    )


def test_shared_arrays_are_refused(run):
    run(
        """
held = refused(lambda: procession.RawArray("d", 1 << 20))
assert 3 <= len(held) <= 9
for array in held:
    touch(array)
print("good")
""",
        80,
        "good",
    )


def test_results_that_do_not_fit_are_errors_of_their_tasks(run):
    run(
        """
def make(size):
    return Buffer(bytearray(b"x") * size)

if __name__ == "__main__":
    with procession.Pool(1) as pool:
        large = pool.apply_async(make, (115 << 20,))
        try:
            large.get(60)
        except procession.pool.MaybeEncodingError as error:
            assert "MemoryError" in str(error), error
            print("refused")
        assert len(pool.apply(make, (1 << 20,)).data) == 1 << 20
    print("good")
""",
        200,
        "refused",
        "good",
    )


def test_kept_memory_leaves_room_for_others(run):
    # Freed blocks keep their pages for the next, up to 256 MB elsewhere.
    run(
        """
for turn in range(3):
    held = refused(lambda: touch(native.Block(4 << 20)))
    del held
    gc.collect()
    others = [bytearray(1 << 20) for i in range(30)]
    del others
print("good")
""",
        80,
        "good",
    )


# ---- kills ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_that_the_kernel_killed(run, method):
    run(
        f"""
if __name__ == "__main__":
    process = procession.get_context("{method}").Process(target=eat)
    process.start()
    process.join()
    print(process.exitcode, process.death, process.death.out_of_memory)
    process = procession.get_context("{method}").Process(target=input)
    process.start()
    process.kill()
    process.join()
    print(process.exitcode, process.death, process.death.out_of_memory)
""",
        200,
        "-9 killed by SIGKILL (the kernel was out of memory) True",
        "-9 killed by SIGKILL False",
        kills=1,
    )


def test_two_that_are_noticed_together(run):
    run(
        """
if __name__ == "__main__":
    children = [procession.Process(target=eat) for i in range(2)]
    for child in children:
        child.start()
    for child in children:
        procession.connection.wait([child.sentinel])
    for child in children:
        child.join()
        print(child.death)
""",
        200,
        "killed by SIGKILL (the kernel was out of memory)",
        "killed by SIGKILL (the kernel was out of memory)",
        kills=2,
    )


def test_a_worker_that_the_kernel_killed(run):
    run(
        """
def work(n):
    if n == 1:
        eat()
    return n

if __name__ == "__main__":
    with procession.Pool(2) as pool:
        for result in [pool.apply_async(work, (n,)) for n in range(4)]:
            try:
                print(result.get(60))
            except procession.WorkerDiedError as error:
                print(error.out_of_memory, error.signal_name, "the kernel was out of memory" in str(error))
""",
        200,
        "0",
        "True SIGKILL True",
        "2",
        "3",
        kills=1,
    )
