"""``SharedMemory``: the documented behaviour, the errors, and the standard library at the other end."""

from __future__ import annotations

import os
import pickle

import pytest

from procession_shm import SharedMemory


def unique(text):
    return f"{text}{os.getpid()}"


def test_a_new_block_has_a_name_and_at_least_the_size(segment):
    shm = segment(create=True, size=1000)
    assert shm.name and not shm.name.startswith("/")
    assert len(shm.name) <= 13
    assert shm.size >= 1000 and len(shm.buf) == shm.size
    assert bytes(shm.buf[:1000]) == bytes(1000)
    assert repr(shm) == f"SharedMemory({shm.name!r}, size={shm.size})"


def test_what_is_written_is_seen_by_whoever_attaches(segment):
    shm = segment(unique("seen"), create=True, size=100)
    shm.buf[:5] = b"hello"
    other = SharedMemory(shm.name)
    assert bytes(other.buf[:5]) == b"hello"
    other.buf[0] = ord("j")
    assert shm.buf[0] == ord("j")
    other.close()


def test_the_size_is_ignored_when_attaching(segment):
    shm = segment(create=True, size=512)
    other = SharedMemory(shm.name, size=20 * shm.size)
    assert other.size == shm.size
    other.close()


@pytest.mark.parametrize("size", [0, -1, -(2**40)])
def test_a_size_that_is_not_positive_is_refused(size):
    with pytest.raises(ValueError, match="'size' must be a positive"):
        SharedMemory(create=True, size=size)


def test_attaching_needs_a_name():
    with pytest.raises(ValueError, match="'name' can only be None if create=True"):
        SharedMemory()


def test_a_taken_name_is_refused(segment):
    shm = segment(create=True, size=10)
    with pytest.raises(FileExistsError):
        SharedMemory(shm.name, create=True, size=10)


def test_a_missing_name_is_refused():
    with pytest.raises(FileNotFoundError):
        SharedMemory(unique("missing"))


@pytest.mark.parametrize("name", ["a\0b", "\0"])
def test_a_name_with_a_nul_is_refused(name):
    with pytest.raises(ValueError, match="embedded null character"):
        SharedMemory(name, create=True, size=10)


@pytest.mark.linux_only
@pytest.mark.parametrize("name", ["a/b", "", ".", "..", "x" * 256])
def test_names_that_the_system_refuses(name):
    with pytest.raises(OSError) as caught:
        SharedMemory(name, create=True, size=10)
    assert caught.value.errno == 22


def test_a_class_may_attach_or_create(segment):
    class Optional(SharedMemory):
        _flags = os.O_CREAT | os.O_RDWR

    shm = segment(create=True, size=300)
    other = Optional(shm.name)
    assert other.size == shm.size
    other.close()


def test_closing_twice_and_using_a_closed_one(segment):
    shm = segment(create=True, size=10)
    shm.close()
    shm.close()
    assert shm.buf is None
    assert shm.size >= 10 and shm.name


def test_closing_with_views_is_an_error(segment):
    shm = segment(create=True, size=10)
    view = shm.buf[:3]
    with pytest.raises(BufferError):
        shm.close()
    view.release()
    shm.close()


def test_views_outlive_the_object(segment):
    shm = SharedMemory(create=True, size=10)
    shm.buf[0] = 7
    view = shm.buf
    shm.unlink()
    del shm
    assert view[0] == 7


def test_unlinking_twice_is_an_error():
    shm = SharedMemory(create=True, size=10)
    shm.unlink()
    with pytest.raises(FileNotFoundError):
        shm.unlink()
    shm.close()


def test_the_memory_lives_until_the_last_user_closes(segment):
    shm = SharedMemory(create=True, size=10)
    other = SharedMemory(shm.name)
    shm.buf[0] = 9
    shm.close()
    shm.unlink()
    assert other.buf[0] == 9
    other.close()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_the_name(segment, protocol):
    shm = segment(create=True, size=10)
    shm.buf[0] = 3
    data = pickle.dumps(shm, protocol)
    other = pickle.loads(data)
    assert type(other) is SharedMemory and other.name == shm.name and other.buf[0] == 3
    other.close()
    shm.close()
    shm.unlink()
    with pytest.raises(FileNotFoundError):
        pickle.loads(data)


def test_properties_cannot_be_set(segment):
    shm = segment(create=True, size=10)
    for name in ("buf", "name", "size"):
        with pytest.raises(AttributeError):
            setattr(shm, name, None)


@pytest.mark.native_only
def test_descriptors_are_not_kept(segment, leak_check):
    for _ in range(20):
        segment(create=True, size=10)


@pytest.mark.linux_only
def test_more_than_the_system_has_is_refused_before_it_is_touched():
    room = os.statvfs("/dev/shm")
    before = set(os.listdir("/dev/shm"))
    with pytest.raises(OSError, match="No space left on device"):
        SharedMemory(create=True, size=room.f_blocks * room.f_frsize * 2)
    assert {n for n in os.listdir("/dev/shm") if n.startswith("prc_")} <= before


# ---- the standard library at the other end ---------------------------------------------------------------


def test_the_standard_library_attaches_to_ours(segment, children):
    shm = segment(create=True, size=64)
    shm.buf[:4] = b"ours"
    source = """
import sys
from multiprocessing import resource_tracker, shared_memory
shm = shared_memory.SharedMemory(sys.argv[1])
print(bytes(shm.buf[:4]).decode())
shm.buf[:6] = b"theirs"
resource_tracker.unregister(shm._name, "shared_memory")
shm.close()
"""
    done = children.run_program(source, shm.name)
    assert done.stdout == "ours\n", done.stderr
    assert bytes(shm.buf[:6]) == b"theirs"


def test_ours_attaches_to_the_standard_librarys(children):
    source = """
import sys
from multiprocessing import shared_memory
shm = shared_memory.SharedMemory(create=True, size=64)
shm.buf[:6] = b"theirs"
print(shm.name, flush=True)
sys.stdin.readline()
print(bytes(shm.buf[:4]).decode(), flush=True)
shm.close()
shm.unlink()
"""
    program = children.start_program(source)
    with program:
        shm = SharedMemory(program.stdout.readline().strip(), track=False)
        assert bytes(shm.buf[:6]) == b"theirs"
        shm.buf[:4] = b"ours"
        out, _ = program.communicate("\n", timeout=60)
        assert out == "ours\n"
        shm.close()
