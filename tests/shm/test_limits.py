"""What a limit forbids is a MemoryError before anything is written, never a signal."""

from __future__ import annotations

import gc
import os
import pickle

import pytest

from procession_shm import memory, native, pack, set_memory_limit

pytestmark = [pytest.mark.native_only, pytest.mark.linux_only]

HEAD = """
import pickle, resource, sys
from procession_shm import memory, native, pack, set_memory_limit, share, unpack
class Buffer:
    def __init__(self, data):
        self.data = data
    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(self.data),)
def refused(make):
    try:
        make()
    except MemoryError:
        return True
    return False
native.ensure()
"""


class Buffer:
    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(self.data),)


@pytest.fixture
def check(children):
    """Run a program that begins as HEAD does; it must end by itself with 'good'."""

    def check(source):
        done = children.run_program(HEAD + source + "\nprint('good')")
        assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr

    return check


def test_the_arenas_own_limit():
    pack(Buffer(bytearray(1 << 16)))
    gc.collect()
    before = memory()["used"]
    source = Buffer(bytearray(8 << 20))
    set_memory_limit(before + (4 << 20))
    try:
        with pytest.raises(MemoryError):
            pack(source)
        with pytest.raises(MemoryError):
            native.Block(1 << 40)
        assert memory()["used"] <= before
        assert pack(Buffer(bytearray(1 << 20))).refs
    finally:
        set_memory_limit(None)
    assert memory()["limit"] is None
    assert pack(source).refs
    with pytest.raises(ValueError, match="not -1$"):
        set_memory_limit(-1)
    with pytest.raises(TypeError, match="not '1G'$"):
        set_memory_limit("1G")


def test_the_limit_holds_for_the_tree(children):
    native.ensure()
    set_memory_limit(memory()["used"] + (4 << 20))
    try:

        def work():
            try:
                native.Block(8 << 20)
            except MemoryError:
                return "refused"

        assert children.in_fork(work) == "refused"
    finally:
        native.set_limit(None)


def test_ulimit_f(check):
    check("""
resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 20, 32 << 20))
source = Buffer(bytearray(48 << 20))
assert refused(lambda: pack(source))
assert refused(lambda: share(source))
small = pack(Buffer(bytearray(1 << 20)))
assert len(unpack(*small).data) == 1 << 20
held = []
while not refused(lambda: held.append(native.Block(1 << 20))):
    assert len(held) < 64
for block in held:
    memoryview(block)[::4096] = b"x" * 256
assert native.check() is None
""")


def test_ulimit_v(check):
    check("""
# Without the GIL the interpreter's allocator maps a gigabyte before it uses it.
most = (2 if "t" in sys.abiflags else 1) << 30
resource.setrlimit(resource.RLIMIT_AS, (most, most))
held = []
while not refused(lambda: held.append(native.Block(40 << 20))):
    assert len(held) < 64
assert held
del held
assert native.check() is None
""")


def test_shared_values_are_refused_too(check):
    pytest.importorskip("procession_sharedctypes")
    check("""
from procession_sharedctypes import Array, RawArray, Value
set_memory_limit(memory()["used"] + (1 << 20))
assert refused(lambda: RawArray("d", 1 << 20))
assert refused(lambda: Array("d", shape=(1024, 1024)))
value = Value("i", 5)
assert value.value == 5
""")


def test_memory_by_process(children):
    block = native.Block(3 << 20)

    def held():
        return {entry["pid"]: entry["bytes"] for entry in memory()["processes"]}

    parent = os.getpid()
    before = held()[parent]
    assert before >= 3 << 20

    def work():
        mine = native.Block(5 << 20)
        seen = held()
        return seen[os.getpid()], seen[parent], mine.size

    child, seen, _ = children.in_fork(work)
    assert child >= (8 << 20) and seen == before
    assert memory()["peak"] >= memory()["used"] >= block.size
