"""``Value``, ``Array``, ``synchronized``: the wrappers, their locks and their accessors."""

from __future__ import annotations

import array as arrays
import ctypes
import threading

import pytest

from procession_core import ForkingPickler, NotSupportedError
from procession_sharedctypes import (
    Array,
    RawArray,
    Synchronized,
    SynchronizedArray,
    SynchronizedBase,
    SynchronizedString,
    Value,
    synchronized,
    typecode_to_type,
)
from procession_synchronize import Lock, RLock


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]


class Solid(Point):
    _fields_ = [("z", ctypes.c_int)]


class Either(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("real", ctypes.c_float)]


class Spy:
    """A lock that counts."""

    def __init__(self):
        self.taken = self.given = 0

    def acquire(self):
        self.taken += 1
        return True

    def release(self):
        self.given += 1

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *error):
        self.release()


# ---- the wrappers ----------------------------------------------------------------------------------------


def test_classes_and_reprs():
    value = Value("i", 5)
    assert type(value) is Synchronized and repr(value) == "<Synchronized wrapper for c_int(5)>"
    assert type(Array("i", 3)) is SynchronizedArray
    assert type(Array("c", 3)) is SynchronizedString
    point = Value(Point, 1, 2)
    assert type(point).__name__ == "SynchronizedPoint" and type(Value(Point)) is type(point)
    assert isinstance(point, SynchronizedBase)
    assert repr(Array("d", 3)).startswith("<SynchronizedArray wrapper for <")


def test_locks():
    for made in (Value("i"), Value("i", lock=None), Value("i", lock=True), Array("i", 2), Value(Point)):
        assert isinstance(made.get_lock(), type(RLock()))
    for lock in (Lock(), RLock(), Spy()):
        assert Value("i", lock=lock).get_lock() is lock
        assert Array("i", 3, lock=lock).get_lock() is lock
    raw = Value("i", 5, lock=False)
    assert type(raw) is ctypes.c_int and not hasattr(raw, "get_lock") and not hasattr(raw, "add")
    assert not hasattr(Array("i", 5, lock=False), "get_obj")


@pytest.mark.parametrize("wrong", [5, "navalue", 0, [], 1.5])
def test_what_is_no_lock_is_refused(wrong):
    for make in (lambda: Value("i", lock=wrong), lambda: Array("i", 3, lock=wrong)):
        with pytest.raises(AttributeError, match="has no method 'acquire'"):
            make()


def test_the_context_gives_the_lock():
    class Context:
        made = 0

        def RLock(self):
            self.made += 1
            return RLock()

    context = Context()
    Value("i", ctx=context)
    Array("i", 3, ctx=context)
    Value("i", lock=Lock(), ctx=context)
    assert context.made == 2


def test_a_wrapper_is_a_context_manager():
    for made in (Value("i"), Array("i", 3), Value(Point)):
        with made as locked:
            assert locked in (True, None)
        made.acquire()
        made.release()
        assert made.get_obj() is made.get_obj()


def test_wrapping_twice_and_wrapping_nothing():
    with pytest.raises(AssertionError, match="object already synchronized"):
        synchronized(Value("i"))
    for wrong in (5, [], None):
        with pytest.raises(AttributeError, match="_fields_"):
            synchronized(wrong)


# ---- accessors -------------------------------------------------------------------------------------------

LOCKS = {"default": lambda: True, "Lock": Lock, "RLock": RLock, "Spy": Spy}


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("code", typecode_to_type)
def test_values_convert_as_ctypes_does(code, lock):
    value = Value(code, lock=LOCKS[lock]())
    plain = typecode_to_type[code]()
    tries = (0, 1, -1, 255, 300, 2**40, 2**64, -(2**70), 1.5, 1e300, True, b"x", b"xy", "x", "xy", "", None, [],
             float("nan"))  # fmt: skip
    for new in tries:
        try:
            plain.value = new
        except Exception as error:
            with pytest.raises(type(error)):
                value.value = new
        else:
            value.value = new
        assert repr(value.value) == repr(plain.value)
        assert type(value.value) is type(plain.value)


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("code", typecode_to_type)
def test_arrays_behave_as_ctypes_does(code, lock):
    initial = {"c": b"hello w", "u": "hellowo"}.get(code, [1, 2, 3, 4, 5, 6, 7])
    wrapped = Array(code, initial, lock=LOCKS[lock]())
    plain = (typecode_to_type[code] * 7)(*initial)
    keys = [0, 6, -1, -7, 7, -8, 10**30, True, 1.5, "a", None, slice(None), slice(2, 5), slice(None, None, -1),
            slice(1, 6, 2), slice(5, 2), slice(None, None, 0), slice(None, "a"), slice(-3, 100)]  # fmt: skip
    for key in keys:
        try:
            expected = plain[key]
        except Exception as error:
            with pytest.raises(type(error)):
                wrapped[key]
        else:
            assert wrapped[key] == expected and type(wrapped[key]) is type(expected)
    values = [9, 2.5, b"z", "z", None, [1], [1, 2, 3], (4, 5, 6), range(3), arrays.array("i", [7, 8, 9]), b"abc", "abc",
              [1, "x", 2], [2**80, -1, 5], (b"a", b"b", b"c"), [True, False, True]]  # fmt: skip
    for key in keys:
        for value in values:
            try:
                plain[key] = value
            except Exception as error:
                with pytest.raises(type(error)):
                    wrapped[key] = value
            else:
                wrapped[key] = value
            assert wrapped[:] == plain[:]
    assert list(wrapped) == list(plain) and len(wrapped) == len(plain)
    if lock == "Spy":
        assert wrapped.get_lock().taken == wrapped.get_lock().given > 0


def test_slices_show_every_change():
    wrapped = Array("d", 1000)
    plain = [0.0] * 1000
    for turn in range(200):
        for index in range(0, 1000, 1 + turn * 7 % 501):
            wrapped[index] = plain[index] = turn + index / 7
        assert wrapped[:] == plain
        assert wrapped[3:900:7] == plain[3:900:7]
        assert wrapped[::-1] == plain[::-1]


@pytest.mark.parametrize("code", "bBhHiIqQfd")
def test_slices_read_again_have_the_right_types(code):
    wrapped = Array(code, range(100))
    expected = list(RawArray(code, range(100)))
    for _ in range(3):
        assert repr(wrapped[:]) == repr(expected)


def test_strings():
    string = Array("c", b"hello")
    assert string.value == b"hello" == string.raw
    string.value = b"hi"
    assert string.raw == b"hi\0lo" and string.value == b"hi" and string[:] == b"hi\0lo"
    string.raw = b"abcde"
    assert string[1:3] == b"bc"
    with pytest.raises(ValueError):
        string.value = b"too long"
    assert not hasattr(Array("u", "abc"), "value")


def test_fields():
    for point in (Value(Point, 1, 2.5), Value(Solid, 1, 2.5, 3)):
        assert (point.x, point.y) == (1, 2.5)
        point.x += 4
        assert point.get_obj().x == 5
        with pytest.raises(TypeError):
            point.x = "a"
        with pytest.raises(AttributeError):
            point.missing
    assert Value(Solid, 1, 2, 3).z == 3
    either = Value(Either, 3)
    either.real = 1.0
    assert either.number == 0x3F800000


def test_arrays_of_structures():
    points = Array(Point, [(1, 2), (3, 4)])
    assert points[1].x == 3 and len(points) == 2
    points[0] = (7, 8)
    assert [p.x for p in points] == [7, 3]


def test_other_types():
    assert Value(ctypes.c_bool, True).value is True
    pointer = Value(ctypes.c_void_p)
    pointer.value = 5
    assert pointer.value == 5
    assert Value(ctypes.c_longdouble, 0.5).value == 0.5
    big = Value(ctypes.c_int.__ctype_be__, 258)
    assert big.value == 258
    big.value = 3
    assert bytes(big.get_obj()) == b"\0\0\0\3"


def test_shapes():
    grid = Array("d", shape=(3, 4))
    assert len(grid) == 3
    grid[1, 2] = 5.5
    assert grid[1, 2] == 5.5 and grid[1][2] == 5.5 and grid[-2, -2] == 5.5
    with pytest.raises(IndexError):
        grid[3, 0]
    with pytest.raises(TypeError):
        grid[0, "a"]
    assert [list(row) for row in Array("i", [[1, 2], [3, 4]], shape=(2, 2))] == [[1, 2], [3, 4]]


def test_numpy_views():
    numpy = pytest.importorskip("numpy")
    for made, dtype, shape in [
        (Array("d", 5), "f8", (5,)),
        (Array("i", shape=(2, 3)), "i4", (2, 3)),
        (Array("B", shape=(2, 3, 4)), "u1", (2, 3, 4)),
    ]:
        view = numpy.asarray(made)
        assert view.dtype == numpy.dtype(dtype) and view.shape == shape
        view.flat[-1] = 9
        last = made[(-1,) * len(shape)] if len(shape) > 1 else made[-1]
        assert last == 9
        del made
        assert view.flat[-1] == 9
    points = numpy.asarray(Array(Point, [(1, 2), (3, 4)]).get_obj())
    assert points.dtype.names == ("x", "y") and points["x"].tolist() == [1, 3]


def test_a_value_is_read_only_while_the_lock_is_free():
    value = Value("i", 1)
    seen = []
    with value.get_lock():
        thread = threading.Thread(target=lambda: seen.append(value.value))
        thread.start()
        thread.join(0.05)
        assert not seen
        value.value = 2
    thread.join(10)
    assert seen == [2]


def test_increments_under_the_lock(children):
    value = Value("q")
    array = Array("i", 10)

    def work():
        for _ in range(2000):
            with value.get_lock():
                value.value += 1
            with array.get_lock():
                array[3] += 1

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    children.in_fork(work)
    for thread in threads:
        thread.join()
    assert value.value == 6000 and array[3] == 6000


# ---- pickling --------------------------------------------------------------------------------------------


@pytest.mark.native_only
@pytest.mark.parametrize(
    "make",
    [lambda: Value("i", 5), lambda: Array("d", 5), lambda: Array("c", b"abc"), lambda: Value(Point, 1, 2),
     lambda: Array("i", shape=(2, 3)), lambda: Value("i", lock=Lock())],
)  # fmt: skip
def test_pickles_name_memory_and_lock(make):
    first = make()
    second = ForkingPickler.loads(ForkingPickler.dumps(first))
    assert type(second) is type(first)
    ctypes.memset(ctypes.addressof(first.get_obj()), 1, 1)
    assert ctypes.string_at(ctypes.addressof(second.get_obj()), 1) == b"\1"
    first.acquire()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(second.acquire(False)))
    thread.start()
    thread.join()
    assert taken == [False]
    first.release()


@pytest.mark.portable_only
def test_pickles_are_for_starting_children():
    with pytest.raises(
        RuntimeError, match="^Synchronized objects should only be shared between processes through"
    ):
        ForkingPickler.dumps(Value("i"))


def test_what_does_not_stand_in_shared_memory_cannot_be_sent():
    wrapper = synchronized(ctypes.c_int(5))
    wrapper.value += 1
    assert wrapper.value == 6
    with pytest.raises(NotSupportedError, match="does not stand in shared memory"):
        ForkingPickler.dumps(wrapper)
