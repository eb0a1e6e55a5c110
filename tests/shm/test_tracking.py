"""Who removes a segment that nobody has unlinked: the last process of the tree."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

import pytest

from procession_shm import SharedMemory, orphaned_segments, remove_orphans, tracked_segments

HEAD = """
import os, signal, sys
from procession_shm import SharedMemory, native, tracked_segments
if native is not None:
    native.ensure()  # as starting a Process does: one tree from here on
def create(**options):
    shm = SharedMemory(create=True, size=100, **options)
    print(shm.name, flush=True)
    return shm
def exists(name):
    return os.path.exists("/dev/shm/" + name)
def child(func):
    pid = os.fork()
    if pid:
        return pid
    try:
        func()
    except SystemExit:
        raise
    sys.exit()
"""

pytestmark = pytest.mark.linux_only


def exists(name):
    return os.path.exists("/dev/shm/" + name)


@pytest.fixture
def run(children):
    """Run a program that begins as HEAD does and return the names that it has printed."""

    def run(source, **options):
        done = children.run_program(HEAD + source, **options)
        assert done.returncode == options.get("code", 0), done.stderr
        assert not done.stderr
        return done.stdout.split()

    return run


def test_the_end_removes_what_is_tracked(run):
    names = run("held = [create(), create(), create()]; held[0].close(); del held[1]")
    assert len(names) == 3 and not any(map(exists, names))


def test_what_is_not_tracked_stays(run):
    (name,) = run("create(track=False)")
    assert exists(name)
    SharedMemory(name, track=False).unlink()


def test_what_is_unlinked_is_forgotten(run):
    assert run("shm = create(); shm.unlink(); print(len(tracked_segments()))")[1] == "0"


def test_unlinking_without_tracking_leaves_the_record_alone(segment):
    shm = segment(create=True, size=10)
    assert shm._name in tracked_segments()
    shm.unlink()
    assert shm._name not in tracked_segments()


def test_attaching_tracks_too(run, segment):
    shm = segment(create=True, size=10, track=False)
    run(f"SharedMemory({shm.name!r}, track=False)")
    assert exists(shm.name)
    run(f"SharedMemory({shm.name!r})")
    assert not exists(shm.name)


def test_an_end_with_an_exception_removes_too(children):
    done = children.run_program(HEAD + "create(); raise ValueError('x')")
    assert done.returncode == 1 and not exists(done.stdout.strip())


@pytest.mark.native_only
def test_a_childs_segment_lives_as_long_as_the_tree(run):
    (name, seen) = run("""
pid = child(create)
os.waitpid(pid, 0)
(name,) = tracked_segments()
print(exists(name[1:]))
""")
    assert seen == "True" and not exists(name)


@pytest.mark.native_only
def test_a_killed_childs_segment_is_removed_too(run):
    (name, seen) = run("""
def work():
    create()
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child(work), 0)
(name,) = tracked_segments()
print(exists(name[1:]))
""")
    assert seen == "True" and not exists(name)


@pytest.mark.native_only
def test_the_last_one_removes_though_the_creator_ended_first(children):
    program = children.start_program(
        HEAD
        + """
def work():
    sys.stdin.readline()
create()
child(work)
"""
    )
    with program:
        name = program.stdout.readline().strip()
        program.wait(60)
        assert exists(name)
        program.stdin.write("\n")
        program.stdin.flush()
        deadline = time.monotonic() + 30
        while exists(name) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not exists(name)


@pytest.mark.native_only
def test_of_many_that_end_together_one_removes(run):
    for _ in range(5):
        names = run("""
reader, writer = os.pipe()
def work():
    os.close(writer)
    create()
    os.read(reader, 1)
pids = [child(work) for _ in range(6)]
os.close(writer)
for pid in pids:
    pass
""")
        deadline = time.monotonic() + 30
        while any(map(exists, names)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(map(exists, names))


@pytest.mark.native_only
def test_many_names(run):
    names = run("""
held = [create() for _ in range(700)]
assert len(tracked_segments()) == 700
for shm in held[::2]:
    shm.unlink()
assert sorted(tracked_segments()) == sorted(shm._name for shm in held[1::2])
""")
    assert len(names) == 700 and not any(map(exists, names))


def test_a_killed_tree_leaves_its_segments_to_be_found(children):
    program = children.start_program(
        HEAD
        + """
shm = create()
sys.stdin.readline()
"""
    )
    with program:
        name = program.stdout.readline().strip()
        assert name not in orphaned_segments()
        program.kill()
        program.wait()
    assert exists(name)
    assert name in orphaned_segments()
    assert remove_orphans([name, "missing" + name]) == [name]
    assert not exists(name) and name not in orphaned_segments()


def test_foreign_names_are_found_only_on_request():
    path = Path(f"/dev/shm/foreign{os.getpid()}")
    path.write_bytes(b"x")
    try:
        assert path.name not in orphaned_segments()
        assert path.name in orphaned_segments(all_names=True)
    finally:
        path.unlink()


def test_a_mapped_file_may_have_any_name(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe"
    with open(path, "w+b") as file:
        file.write(b"x")
        file.flush()
        with mmap.mmap(file.fileno(), 1):
            shm = SharedMemory(create=True, size=100)
            try:
                assert shm.name not in orphaned_segments()
            finally:
                shm.close()
                shm.unlink()
