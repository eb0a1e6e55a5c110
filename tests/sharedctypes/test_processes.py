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


# ---- as start arguments of pools, and where they may not travel ------------------------------------------------------


def use_in_worker(value, array):
    global shared_value, shared_array
    shared_value, shared_array = value, array


def add_in_worker(step):
    with shared_value.get_lock():
        shared_value.value += step
    with shared_array.get_lock():
        shared_array[step % len(shared_array)] += 1
    return step


def test_as_initargs_of_a_pool(mp_context):
    value, array = mp_context.Value("q", 0), mp_context.Array("i", 7)
    with mp_context.Pool(2, use_in_worker, (value, array)) as pool:
        assert sum(pool.map(add_in_worker, range(200), 5)) == sum(range(200))
    assert value.value == sum(range(200))
    assert list(array) == [len(range(at, 200, 7)) for at in range(7)]


def take_from_queue(queue, out):
    value, array = queue.get()
    with value.get_lock():
        value.value += 0.5
    array[1] = 77
    out.put((value.value, array[:]))


@pytest.mark.native_only
def test_through_a_queue(mp_context):
    queue, out = mp_context.Queue(), mp_context.Queue()
    value, array = mp_context.Value("d", 1.0), mp_context.Array("i", [1, 2, 3])
    child = mp_context.Process(target=take_from_queue, args=(queue, out))
    child.start()
    queue.put((value, array))
    assert out.get(timeout=20) == (1.5, [1, 77, 3])
    child.join(20)
    assert child.exitcode == 0
    assert value.value == 1.5 and array[:] == [1, 77, 3]


def add_to(pair):
    value, step = pair
    with value.get_lock():
        value.value += step
    return value.value


@pytest.mark.native_only
def test_as_argument_of_a_task(mp_context):
    value = mp_context.Value("q", 0)
    with mp_context.Pool(2) as pool:
        pool.map(add_to, [(value, step) for step in range(50)], 1)
    assert value.value == sum(range(50))
