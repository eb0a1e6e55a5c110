"""``RawValue``, ``RawArray``, ``copy``: every typecode and a family of ctypes types against plain ctypes."""

from __future__ import annotations

import ctypes
import os
import pickle

import pytest

from procession_core import ForkingPickler, InheritanceError, transfer_scope
from procession_sharedctypes import RawArray, RawValue, copy, typecode_to_type
from procession_shm import MessageTransfer


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


class Either(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("real", ctypes.c_float)]


class Nested(ctypes.Structure):
    _fields_ = [
        ("points", Point * 3),
        ("either", Either),
        ("flag", ctypes.c_bool),
        ("name", ctypes.c_char * 5),
    ]


class Packed(ctypes.BigEndianStructure):
    _pack_ = 1
    _fields_ = [("a", ctypes.c_uint8), ("b", ctypes.c_uint32), ("bits", ctypes.c_uint16, 3)]


class Derived(Point):
    _fields_ = [("z", ctypes.c_short)]


VALUES = {
    "c": [b"x", b"\0", 65],
    "u": ["x", "é", "\U0001f600"],
    "b": [-128, 127, 300, -1],
    "B": [0, 255, 300, -1],
    "h": [-(2**15), 2**15 - 1, 2**16 + 5],
    "H": [0, 2**16 - 1, -1],
    "i": [-(2**31), 2**31 - 1, 2**33 + 7],
    "I": [0, 2**32 - 1, -1],
    "l": [-(2**31), 2**31 - 1],
    "L": [0, 2**32 - 1, -1],
    "q": [-(2**63), 2**63 - 1, 2**64 + 9],
    "Q": [0, 2**64 - 1, -1],
    "f": [0.1, 1e300, float("inf"), 3],
    "d": [0.1, -1e308, float("-inf"), 3],
}
STRUCTURES = [(Point, (1, 2.5)), (Either, (7,)), (Nested, ()), (Packed, (1, 2, 3)), (Derived, (1, 2.0, 3))]


def image(obj):
    return ctypes.string_at(ctypes.addressof(obj), ctypes.sizeof(obj))


def test_every_typecode_is_tested():
    assert set(VALUES) == set(typecode_to_type)


@pytest.mark.parametrize(("code", "value"), [(c, v) for c, values in VALUES.items() for v in values])
def test_values_are_those_of_ctypes(code, value):
    plain = typecode_to_type[code](value)
    for raw in (RawValue(code, value), RawValue(typecode_to_type[code], value)):
        assert type(raw) is type(plain)
        assert image(raw) == image(plain)
        assert raw.value == plain.value and repr(raw) == repr(plain)


@pytest.mark.parametrize("code", VALUES)
def test_no_initial_value_is_zero(code):
    size = ctypes.sizeof(typecode_to_type[code])
    assert image(RawValue(code)) == bytes(size)
    assert image(RawArray(code, 100)) == bytes(100 * size)


@pytest.mark.parametrize("code", VALUES)
def test_arrays_are_those_of_ctypes(code):
    plain = (typecode_to_type[code] * len(VALUES[code]))(*VALUES[code])
    raw = RawArray(code, VALUES[code])
    assert image(raw) == image(plain)
    assert len(raw) == len(plain) and list(raw) == list(plain)


@pytest.mark.parametrize(("type_", "args"), STRUCTURES)
def test_structures_are_those_of_ctypes(type_, args):
    plain, raw = type_(*args), RawValue(type_, *args)
    assert type(raw) is type_ and image(raw) == image(plain)
    assert image(RawArray(type_, 3)) == bytes(3 * ctypes.sizeof(type_))


def test_fresh_memory_is_zero_though_it_was_used_before():
    for _ in range(5):
        array = RawArray("i", 10_000)
        assert not any(array)
        array[:] = range(1, 10_001)
        del array
        value = RawValue("q")
        assert value.value == 0
        value.value = -1
        del value


@pytest.mark.parametrize("wrong", ["w", "z", "", "ii", 5, None, int, [], "Q "])
def test_wrong_types_are_refused(wrong):
    for make in (lambda: RawValue(wrong), lambda: RawArray(wrong, 3)):
        with pytest.raises(TypeError, match="^this type has no size: bad typecode .*c, u, b, B"):
            make()


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="-1"):
        RawArray("i", -1)
    with pytest.raises(TypeError):
        RawArray("i", 2.5)
    with pytest.raises(TypeError, match="needs a size"):
        RawArray("i")


def test_wrong_values_are_refused():
    with pytest.raises(TypeError):
        RawValue("i", "a")
    with pytest.raises(TypeError):
        RawArray("i", "abc")
    with pytest.raises(TypeError):
        RawValue("i", 1, 2)


def test_an_empty_array():
    assert list(RawArray("i", 0)) == [] == list(RawArray("i", []))


def test_strings():
    array = RawArray("c", b"hello")
    assert array.value == b"hello"
    array.value = b"hi"
    assert array.raw == b"hi\0lo"
    assert RawArray("u", "héé").value == "héé"


@pytest.mark.parametrize("shape", [(3, 4), [2, 3, 4], (5,), 6, (2, 0)])
def test_shapes(shape):
    array = RawArray("d", shape=shape)
    view = memoryview(array)
    assert view.shape == ((shape,) if isinstance(shape, int) else tuple(shape))
    assert image(array) == bytes(view.nbytes)


def test_shapes_are_filled_flat_or_nested():
    rows = [[1, 2, 3], [4, 5, 6]]
    for initial in (rows, [1, 2, 3, 4, 5, 6], range(1, 7), tuple(map(tuple, rows))):
        array = RawArray("i", initial, shape=(2, 3))
        assert [list(row) for row in array] == rows
    assert list(RawArray("i", 6, shape=(2, 3))[1]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("initial", "shape"), [([1, 2], (2, 2)), (5, (2, 2)), ([1], ()), ([[1, 2], [3]], (2, 2)), ([], -1)]
)
def test_shapes_that_do_not_fit_are_refused(initial, shape):
    with pytest.raises(ValueError):
        RawArray("i", initial, shape=shape)


def test_numpy_views():
    numpy = pytest.importorskip("numpy")
    for code, dtype in {"i": "i4", "d": "f8", "f": "f4", "B": "u1", "q": "i8", "H": "u2"}.items():
        array = RawArray(code, shape=(3, 4))
        view = numpy.asarray(array)
        assert view.shape == (3, 4) and view.dtype == numpy.dtype(dtype)
        view[2, 3] = 7
        assert array[2][3] == 7
        del array
        assert view[2, 3] == 7


def test_copies_are_independent():
    first = RawValue(Point, 1, 2.0)
    second = copy(first)
    first.x = 5
    assert type(second) is Point and (second.x, second.y) == (1, 2.0)
    assert list(copy(RawArray("i", [1, 2, 3]))) == [1, 2, 3]
    assert copy(ctypes.c_int(4)).value == 4
    for wrong in (5, None, [], "abc"):
        with pytest.raises(TypeError):
            copy(wrong)


def test_a_forked_child_shares_the_memory(children):
    array = RawArray("i", 5)
    value = RawValue(Nested)

    def work():
        array[3] = 17
        value.points[1].y = 2.5
        return array[0]

    array[0] = 9
    assert children.in_fork(work) == 9
    assert array[3] == 17 and value.points[1].y == 2.5


def test_what_the_parent_drops_after_a_fork_stays_the_childs():
    value = RawValue("q", 42)
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.read(ready, 1)
        os._exit(value.value)
    os.close(ready)
    del value
    others = [RawValue("q", 1) for _ in range(1000)]
    os.close(go)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
    assert len(others) == 1000


@pytest.mark.native_only
@pytest.mark.parametrize(("type_", "args"), STRUCTURES)
def test_pickles_name_the_memory(type_, args):
    first = RawValue(type_, *args)
    second = ForkingPickler.loads(ForkingPickler.dumps(first))
    assert type(second) is type_
    ctypes.memset(ctypes.addressof(first), 0x41, ctypes.sizeof(first))
    assert image(second) == image(first)


@pytest.mark.native_only
def test_pickles_of_arrays_and_of_parts_of_them():
    rows = RawArray(Point * 2, 3)
    again = ForkingPickler.loads(ForkingPickler.dumps(rows))
    part = ForkingPickler.loads(ForkingPickler.dumps(rows[1][1]))
    twice = ForkingPickler.loads(ForkingPickler.dumps(part))
    rows[1][1].x = 77
    assert again[1][1].x == part.x == twice.x == 77
    del rows, again, part
    twice.y = 0.5
    assert (twice.x, twice.y) == (77, 0.5)


@pytest.mark.native_only
def test_a_message_holds_what_it_names():
    transfer = MessageTransfer()
    value = RawValue("i", 5)
    with transfer_scope(transfer):
        data = ForkingPickler.dumps([value, value])
    assert len(transfer.refs) == 1
    del value
    first, second = ForkingPickler.loads(data)
    assert first is second and first.value == 5


@pytest.mark.native_only
def test_bytes_hold_nothing():
    value = RawValue("i", 5)
    data = ForkingPickler.dumps(value)
    del value
    with pytest.raises(RuntimeError, match="no longer exists"):
        ForkingPickler.loads(data)


@pytest.mark.portable_only
def test_pickles_are_for_starting_children():
    for obj in (RawValue("i"), RawArray("i", 3), RawValue(Point)):
        with pytest.raises(InheritanceError, match="only be shared between processes through inheritance"):
            ForkingPickler.dumps(obj)


class _Token:
    def __init__(self, fd):
        self.fd = fd

    def detach(self):
        return os.dup(self.fd)


class _Spawning:
    spawning = True

    def hold(self, shared):
        pass

    def send_fd(self, fd):
        return _Token(fd)


@pytest.mark.portable_only
def test_a_start_carries_the_memory():
    values = [RawValue("i", 3), RawArray("d", 100_000)]
    with transfer_scope(_Spawning()):
        data = ForkingPickler.dumps([values, values[0]])
    (small, large), again = ForkingPickler.loads(data)
    values[0].value = 8
    values[1][99_999] = 2.0
    assert small.value == again.value == 8 and large[99_999] == 2.0


def test_what_is_not_shared_is_pickled_by_value():
    RawValue("i")
    again = ForkingPickler.loads(ForkingPickler.dumps(ctypes.c_int(5)))
    assert again.value == 5
    assert pickle.loads(pickle.dumps(ctypes.c_int(6))).value == 6
