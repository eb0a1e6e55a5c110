"""The arena as Python sees it: blocks, references, handles, processes."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession_native import core

pytestmark = pytest.mark.native_only

if core is None:
    pytest.skip("the C core is not in use", allow_module_level=True)

native: Any = core


def used() -> int:
    return int(native.memory()["used"])


@pytest.fixture(autouse=True)
def whole() -> Iterator[None]:
    """Every test leaves a heap that passes its check, and no block behind."""
    native.Block(1)  # the first one makes this process's ledger
    gc.collect()
    native.sweep()
    before = used()
    yield
    gc.collect()
    native.sweep()
    assert native.check() is None
    assert used() <= before  # less where a process of an earlier test has ended meanwhile


def in_child(work: Callable[[], object]) -> int:
    """Run work in a forked child; its wait status, after telling the registry."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    native.note_exit(pid, status)
    return status


def test_a_block_is_memory_that_a_forked_child_shares() -> None:
    block = native.Block(100, zero=True)
    view = memoryview(block)
    assert bytes(view) == bytes(100)

    def write() -> None:
        memoryview(block)[3] = 7

    assert in_child(write) == 0
    assert view[3] == 7
    view.release()


@pytest.mark.parametrize("size", [0, 1, 31, 4096, 70_000, 5_000_000, 40_000_000, 150_000_000])
def test_blocks_of_every_size_class_read_as_zero_when_asked(size: int) -> None:
    for _ in range(2):  # the second one reuses the memory of the first
        block = native.Block(size, zero=True)
        view = memoryview(block)
        assert len(view) == max(size, 1)
        for at in {0, len(view) // 2, len(view) - 1}:
            assert view[at] == 0
            view[at] = 255
        view.release()
        del block


@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), ("many", TypeError), (1 << 62, MemoryError)])
def test_impossible_sizes_are_refused(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        native.Block(size)


def test_the_limit_of_the_tree_is_a_memory_error_and_loses_nothing() -> None:
    try:
        native.set_limit(used() + 50_000)
        with pytest.raises(MemoryError, match="limits"):
            native.Block(100_000)
        assert native.Block(1000).size == 1000
    finally:
        native.set_limit(None)
    with pytest.raises(ValueError, match="-5"):
        native.set_limit(-5)


def test_a_handle_opens_the_same_memory_and_keeps_nothing_alive() -> None:
    block = native.Block(10)
    handle = block.handle()
    again = native.open_handle(handle)
    memoryview(block)[0] = 42
    assert memoryview(again)[0] == 42
    assert block.references() == 1  # one process, however many handles
    del block, again
    with pytest.raises(RuntimeError, match="no longer exists"):
        native.open_handle(handle)


def test_a_handle_of_another_tree_or_kind_is_told_apart() -> None:
    block = native.Block(10)
    arena, offset, generation, kind = block.handle()
    with pytest.raises(RuntimeError, match="another process tree"):
        native.open_handle((arena ^ 1, offset, generation, kind))
    with pytest.raises(ValueError, match="another kind"):
        native.open_handle((arena, offset, generation, 99))
    for wrong in [(1, 2, 3), "handle", (arena, offset, generation, "kind"), None]:
        with pytest.raises(TypeError):
            native.open_handle(wrong)


def test_forged_handles_never_crash() -> None:
    block = native.Block(1 << 16)
    arena, offset, generation, kind = block.handle()
    dice = random.Random(7)
    for _ in range(30_000):
        forged = (
            arena,
            offset + dice.choice((0, 32, -32, 1, dice.getrandbits(dice.randrange(1, 63)))),
            generation + dice.choice((0, 1, dice.getrandbits(40))),
            dice.choice((kind, 3, 8, dice.randrange(40))),
        )
        if forged == block.handle():
            continue
        try:
            native.open_handle(forged)
        except (RuntimeError, ValueError, OverflowError, TypeError):
            pass
        else:
            pytest.fail(f"{forged} was opened")


def test_references_of_killed_processes_are_given_back() -> None:
    kept = native.Block(1000)

    def hold_and_die() -> None:
        mine = [native.Block(5000) for _ in range(300)]
        native.open_handle(kept.handle())
        os.kill(os.getpid(), signal.SIGKILL)
        del mine

    before = used()
    assert os.WTERMSIG(in_child(hold_and_die)) == signal.SIGKILL
    assert used() == before
    assert kept.references() == 1


def test_sweep_finds_the_dead_whom_nobody_reported() -> None:
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        keep = native.Block(123_456)
        os.write(done, b"x")
        signal.pause()
        del keep
    os.read(ready, 1)
    os.close(ready)
    os.close(done)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert native.sweep() == 1
    assert native.sweep() == 0


def test_a_parcel_owns_references_until_it_goes() -> None:
    a, b = native.Block(10), native.Block(20)
    parcel = native.hold_refs([a, b, a])
    assert (a.references(), b.references()) == (3, 2)
    handle = b.handle()
    del b
    assert native.open_handle(handle).size == 20
    del parcel
    assert a.references() == 1
    with pytest.raises(RuntimeError):
        native.open_handle(handle)
    with pytest.raises(TypeError, match="not 5"):
        native.hold_refs([a, 5])


def test_every_fork_has_a_slot_of_its_own() -> None:
    mine = native.self_slot()
    seen = native.Block(16, zero=True)

    def note() -> None:
        slot, generation = native.self_slot()
        memoryview(seen).cast("Q")[0] = slot << 32 | generation
        assert native.slot_alive(*mine)

    assert in_child(note) == 0
    with memoryview(seen).cast("Q") as cells:
        child = (cells[0] >> 32, cells[0] & 0xFFFFFFFF)
    assert child != mine
    assert not native.slot_alive(*child)
    assert child not in [(p["slot"], p["generation"]) for p in native.processes()]


def test_a_spawned_child_attaches_with_the_references_it_was_given() -> None:
    block = native.Block(64)
    memoryview(block)[:5] = b"hello"
    slot, generation = native.reserve_slot("reader")
    native.slot_hold(slot, generation, block)
    handle = block.handle()
    del block  # the child's slot alone keeps it
    arena_fd, lease_fd = native.fds()
    code = (
        "import sys; from procession_native import core;"
        f"core.attach({arena_fd}, {lease_fd}, {slot}, {generation});"
        f"b = core.open_handle({handle!r}); core.settle();"
        "sys.stdout.write(bytes(memoryview(b)[:5]).decode() + ' ' + str(core.self_slot()))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code],
        pass_fds=(arena_fd, lease_fd),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.stdout == f"hello ({slot}, {generation})", child.stderr
    assert not native.slot_alive(slot, generation)
    native.sweep()
    with pytest.raises(RuntimeError, match="no longer exists"):
        native.open_handle(handle)


def test_a_child_that_dies_before_it_attaches_leaks_nothing() -> None:
    block = native.Block(64)
    slot, generation = native.reserve_slot("early death")
    native.slot_hold(slot, generation, block)
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    native.child_started(slot, generation, child.pid)
    assert native.slot_alive(slot, generation)
    child.kill()
    native.note_exit(child.pid, child.wait())
    assert not native.slot_alive(slot, generation)
    assert block.references() == 1
    if child.stdin:
        child.stdin.close()


def test_a_cancelled_slot_gives_its_references_back() -> None:
    block = native.Block(64)
    slot, generation = native.reserve_slot("never")
    native.slot_hold(slot, generation, block)
    assert block.references() == 2
    native.cancel_slot(slot, generation)
    assert block.references() == 1
    with pytest.raises(RuntimeError, match="given up"):
        native.slot_hold(slot, generation, block)


def test_a_file_that_is_no_arena_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "zeros"
    path.write_bytes(bytes(8 << 20))
    code = (
        "import os; from procession_native import core\n"
        f"fd = os.open({str(path)!r}, os.O_RDWR)\n"
        "try: core.attach(fd, fd, 0, 1)\n"
        "except RuntimeError as error: print(error)\n"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "different version of procession" in child.stdout, child.stderr


def test_a_program_that_closes_its_descriptors_is_not_taken_for_dead() -> None:
    report, result = os.pipe()
    go, start = os.pipe()
    pid = os.fork()
    if pid == 0:
        for fd in native.fds():
            os.close(fd)
        os.write(result, b"closed")
        os.read(go, 1)
        os._exit(0)
    os.read(report, 6)
    child = next(p for p in native.processes() if p["pid"] == pid)
    assert child["alive"]
    os.write(start, b"x")
    _, status = os.waitpid(pid, 0)
    native.note_exit(pid, status)
    for fd in (report, result, go, start):
        os.close(fd)


def test_a_process_that_has_called_exec_is_gone_for_the_tree() -> None:
    pid = os.fork()
    if pid == 0:
        os.execvp("sleep", ["sleep", "60"])
    try:
        # The descriptors are closed by exec: wait until the kernel shows the new program.
        while os.readlink(f"/proc/{pid}/exe") == os.readlink("/proc/self/exe"):
            os.sched_yield()
        assert [p["alive"] for p in native.processes() if p["pid"] == pid] == [False]
        assert native.sweep() == 1
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_trim_gives_free_pages_back() -> None:
    block = native.Block(20_000_000)
    with memoryview(block) as view:
        view[:] = bytes(len(view))
    del block
    assert native.memory()["kept_free"] > 0
    native.trim()
    assert native.memory()["kept_free"] == 0
