"""Shared values in children of every start method."""

from __future__ import annotations

import ctypes

import pytest

import procession_process
from procession_sharedctypes import Array, RawArray, RawValue, Value, copy
from procession_synchronize import RLock


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double), ("z", ctypes.c_longlong)]


CODES = [("i", 4343, 24234), ("d", 3.625, -4.25), ("h", -232, 234), ("q", 2**33, 2**34), ("c", b"x", b"y")]


@pytest.fixture
def ctx(start_method):
    """The little of a context that Value and Array need: where locks belong to a start method, theirs is this one."""

    class Context:
        def get_start_method(self, allow_none=False):
            return start_method

        def RLock(self):
            return RLock(ctx=self)

    return Context()


@pytest.fixture
def process(start_method):
    """Run a function in a child of this start method."""
    kind = {
        "fork": procession_process.ForkProcess,
        "spawn": procession_process.SpawnProcess,
        "forkserver": procession_process.ForkServerProcess,
    }[start_method]

    def run(target, *args):
        child = kind(target=target, args=args)
        child.start()
        child.join(20)
        assert child.exitcode == 0

    return run


def set_values(values):
    for value, (_, _, new) in zip(values, CODES, strict=True):
        value.value = new


def test_values(process, ctx):
    for make in (lambda *args: Value(*args, ctx=ctx), RawValue):
        values = [make(code, old) for code, old, _ in CODES]
        process(set_values, values)
        assert [value.value for value in values] == [new for _, _, new in CODES]


def double(number, real, point, array, raw, text, grid):
    with number.get_lock():
        number.value *= 2
    real.value *= 2
    point.x *= 2
    point.y *= 2
    for index in range(len(array)):
        array[index] *= 2
        raw[index] *= 2
    text.value *= 2
    grid[1][2] *= 2


@pytest.mark.parametrize("lock", [True, False])
def test_all_kinds(process, ctx, lock):
    objects = [
        Value("i", 7, lock=lock, ctx=ctx),
        Value(ctypes.c_double, 1 / 3, lock=lock, ctx=ctx),
        Value(Point, 3, 2, lock=lock, ctx=ctx),
        Array("d", range(10), lock=lock, ctx=ctx),
        RawArray("i", range(10)),
        Array("c", 20, lock=lock, ctx=ctx),
        Array("i", range(6), shape=(2, 3), lock=lock, ctx=ctx),
    ]
    objects[5].value = b"hello"
    if not lock:
        objects[0] = Value("i", 7, lock=ctx.RLock())
    process(double, *objects)
    assert objects[0].value == 14 and objects[1].value == 2 / 3
    assert (objects[2].x, objects[2].y) == (6, 4.0)
    assert list(objects[3]) == [index * 2.0 for index in range(10)]
    assert list(objects[4]) == [index * 2 for index in range(10)]
    assert objects[5].value == b"hellohello" and objects[6][1][2] == 10


def increment(value, array, same):
    for _ in range(300):
        with value.get_lock():
            value.value += 1
        with array:
            array[0] += 1
    same[0].value += 1
    same[1].value += 1


def test_the_lock_travels_too(process, ctx):
    value, array = Value("q", ctx=ctx), Array("i", 1, ctx=ctx)
    one = RawValue("i")
    children = [
        procession_process.ForkProcess(target=increment, args=(value, array, [one, one])) for _ in range(2)
    ]
    for child in children:
        child.start()
    process(increment, value, array, [one, one])
    for child in children:
        child.join(20)
    assert value.value == 900 and array[0] == 900


def fill(array):
    array[:] = range(100_000)


def test_large_arrays(process, ctx):
    array = Array("d", 100_000, ctx=ctx)
    process(fill, array)
    assert array[99_999] == 99_999.0 and array[:] == [float(number) for number in range(100_000)]


def change_copy(point):
    point.x = 99


def test_copies_travel(process):
    original = Point(1, 2.0, 3)
    shared = copy(original)
    process(change_copy, shared)
    assert shared.x == 99 and original.x == 1


def look(values):
    assert [value.value for value in values] == list(range(50))


def test_temporary_arguments_live_for_the_child(process):
    process(look, [RawValue("i", number) for number in range(50)])
