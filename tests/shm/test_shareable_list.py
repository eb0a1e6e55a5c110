"""``ShareableList``: items, formats, errors, damaged memory, and the standard library's lists."""

from __future__ import annotations

import os
import pickle
import struct

import pytest

from procession_shm import ShareableList, SharedMemory

MIXED = ["howdy", b"HoWdY", -273.154, 100, None, True, 42]


@pytest.fixture
def shared_list():
    made = []

    def make(*args, **kwargs):
        result = ShareableList(*args, **kwargs)
        made.append(result)
        return result

    yield make
    for item in made:
        item.shm.close()
        try:
            item.shm.unlink()
        except FileNotFoundError:
            pass


def test_items_come_back_as_they_were(shared_list):
    items = shared_list(MIXED)
    assert list(items) == MIXED
    assert [type(item) for item in items] == [type(item) for item in MIXED]
    assert len(items) == 7
    assert items[-1] == 42 and items[-7] == "howdy"
    assert repr(items) == f"ShareableList({MIXED}, name={items.shm.name!r})"


def test_formats(shared_list):
    assert shared_list(MIXED).format == "8s8sdqxxxxxx?xxxxxxxx?q"
    assert shared_list(["", "x" * 8, "y" * 7, b"\0a\0"]).format == "8s16s8s8s"


def test_text_of_more_bytes_than_characters(shared_list):
    items = shared_list(["encodés", "é" * 5, "\U0001f600" * 8])
    assert items.format == "8s16s32s"
    assert list(items) == ["encodés", "é" * 5, "\U0001f600" * 8]
    assert shared_list(items).format == items.format


def test_the_types_are_limited(shared_list):
    for wrong in ([], {}, 1j, object(), bytearray(b"x")):
        with pytest.raises(KeyError) as caught:
            shared_list([wrong])
        assert isinstance(caught.value, TypeError)
        assert "allowed are exactly int, float" in str(caught.value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_ints_have_64_bits(shared_list, value):
    with pytest.raises(struct.error):
        shared_list([value])
    items = shared_list([1])
    with pytest.raises(struct.error):
        items[0] = value
    assert items[0] == 1


@pytest.mark.parametrize(
    "value", [0, -1, 2**63 - 1, -(2**63), 0.0, 1e308, float("inf"), True, False, None, "ä", b"\xff"]
)
def test_any_item_can_become_any_other_that_fits(shared_list, value):
    items = shared_list([0] * 3)
    items[1] = value
    assert items[1] == value and type(items[1]) is type(value)
    assert items[0] == items[2] == 0


def test_an_item_keeps_its_room(shared_list):
    items = shared_list(["howdy", "x"])
    items[0] = "encodés"
    assert items[0] == "encodés"
    for long in ("encodées", b"123456789"):
        with pytest.raises(ValueError, match="exceeds available storage"):
            items[0] = long
    assert list(items) == ["encodés", "x"]


def test_trailing_nuls_are_lost(shared_list):
    items = shared_list(["ab\0\0", b"\0a\0"])
    assert list(items) == ["ab", b"\0a"]


@pytest.mark.parametrize("index", [7, -8, 10**30, -(10**30)])
def test_indices_are_checked(shared_list, index):
    items = shared_list(MIXED)
    with pytest.raises(IndexError):
        items[index]
    with pytest.raises(IndexError):
        items[index] = 1


@pytest.mark.parametrize("index", [2, -3])
def test_wrong_indices_are_named(shared_list, index):
    items = shared_list([1, 2])
    allowed = f"index out of range: {index} in a list of 2 items; use one from -len\\(\\) to len\\(\\) - 1$"
    with pytest.raises(IndexError, match="^" + allowed):
        items[index]
    with pytest.raises(IndexError, match="^assignment " + allowed):
        items[index] = 1


@pytest.mark.parametrize("index", [1.0, "a", slice(1, 2), None])
def test_other_indices_are_type_errors(shared_list, index):
    items = shared_list(MIXED)
    with pytest.raises(TypeError):
        items[index]


def test_count_and_index(shared_list):
    items = shared_list([1, 2, 1, "a"])
    assert items.count(1) == 2 and items.count("b") == 0
    assert items.index("a") == 3
    with pytest.raises(ValueError, match="'b' not in this container"):
        items.index("b")
    assert 2 in items
    assert list(reversed(items)) == ["a", 1, 2, 1]


def test_an_empty_list(shared_list):
    items = shared_list()
    assert len(items) == 0 and items.format == "" and list(items) == []
    with pytest.raises(IndexError):
        items[0]


def test_a_list_of_another_list(shared_list):
    first = shared_list(MIXED)
    second = shared_list(first, name=f"second{os.getpid()}")
    assert second.shm.name == f"second{os.getpid()}"
    assert list(second) == MIXED and second.format == first.format
    second[6] = 0
    assert first[6] == 42


def test_a_list_of_an_iterator(shared_list):
    assert list(shared_list(iter([1, "a"]))) == [1, "a"]


def test_attaching_by_name(shared_list):
    first = shared_list(MIXED)
    second = ShareableList(name=first.shm.name)
    second[6] = 5
    assert first[6] == 5
    second.shm.close()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_the_name(shared_list, protocol):
    first = shared_list(range(10))
    data = pickle.dumps(first, protocol)
    assert len(data) == len(pickle.dumps(shared_list(range(400)), protocol))
    second = pickle.loads(data)
    second[4] = "changed"
    assert first[4] == "changed"
    second.shm.close()


def test_a_closed_list_says_so(shared_list):
    items = shared_list(MIXED)
    items.shm.close()
    with pytest.raises(TypeError, match="closed"):
        items[0]
    with pytest.raises(TypeError, match="closed"):
        items[0] = 1
    with pytest.raises(TypeError, match="closed"):
        items.format


def test_the_class_is_generic():
    assert ShareableList[int].__origin__ is ShareableList


@pytest.mark.parametrize(
    "image", [b"\xff" * 64, struct.pack("<4q", 3, 0, 8, 16), struct.pack("<3q", 1, 0, 1 << 40), b"\1"]
)
def test_memory_that_is_no_list_is_refused(segment, image):
    shm = segment(create=True, size=len(image))
    shm.buf[: len(image)] = image
    with pytest.raises(ValueError, match="does not hold a ShareableList"):
        ShareableList(name=shm.name)


def test_memory_that_is_overwritten_later_never_crashes(shared_list):
    items = shared_list(["abc", 1, 2.0, None, True, b"x"] * 4)
    good = bytes(items.shm.buf)
    for at in range(8, len(good)):
        for byte in (0, 1, 0x7F, 0xFF, ord("9"), ord("s")):
            items.shm.buf[at] = byte
            for index in range(len(items)):
                try:
                    items[index]
                except (ValueError, IndexError):
                    pass
        items.shm.buf[at] = good[at]
    assert bytes(items.shm.buf) == good


def test_the_standard_library_reads_and_writes_ours(shared_list, children):
    items = shared_list([*MIXED, "äöü", ""])
    source = """
import sys
from multiprocessing import resource_tracker, shared_memory
items = shared_memory.ShareableList(name=sys.argv[1])
print(list(items), items.format)
items[3] = 7.5
items[0] = "theirs"
items[6] = None
resource_tracker.unregister(items.shm._name, "shared_memory")
items.shm.close()
"""
    done = children.run_program(source, items.shm.name)
    assert done.stdout == f"{list([*MIXED, 'äöü', ''])} 8s8sdqxxxxxx?xxxxxxxx?q8s8s\n", done.stderr
    assert items[3] == 7.5 and items[0] == "theirs" and items[6] is None


def test_ours_reads_and_writes_the_standard_librarys(children):
    source = """
import sys
from multiprocessing import shared_memory
items = shared_memory.ShareableList(['howdy', b'HoWdY', -273.154, 100, None, True, 42])
print(items.shm.name, flush=True)
sys.stdin.readline()
print(list(items), flush=True)
items.shm.close()
items.shm.unlink()
"""
    program = children.start_program(source)
    with program:
        shm = SharedMemory(program.stdout.readline().strip(), track=False)
        items = ShareableList(name=shm.name)
        from procession_shm._tracking import untrack

        untrack(items.shm._name)
        assert list(items) == MIXED
        items[0], items[4] = b"ours", 1
        out, _ = program.communicate("\n", timeout=60)
        assert out == f"{[b'ours', *MIXED[1:4], 1, *MIXED[5:]]}\n"
        items.shm.close()
        shm.close()
