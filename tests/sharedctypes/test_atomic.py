"""The operations of a Value that do not take its lock."""

from __future__ import annotations

import ctypes
import threading

import pytest

from procession_sharedctypes import Value, typecode_to_type

CHANGES = {
    "fetch_add": lambda a, b: a + b,
    "fetch_sub": lambda a, b: a - b,
    "fetch_and": lambda a, b: a & b,
    "fetch_or": lambda a, b: a | b,
    "fetch_xor": lambda a, b: a ^ b,
    "exchange": lambda a, b: b,
}


@pytest.mark.parametrize("operand", [0, 1, 3, -1, 2**70 + 5, -(2**40)])
@pytest.mark.parametrize("code", "bBhHiIlLqQ")
def test_integers(code, operand):
    type_ = typecode_to_type[code]
    for start in (0, 1, 5, type_(-1).value, type_(1 << (8 * ctypes.sizeof(type_) - 1)).value):
        value = Value(code, start)
        assert value.add(operand) == type_(start + operand).value == value.value
        value = Value(code, start)
        assert value.sub(operand) == type_(start - operand).value == value.value
        for name, change in CHANGES.items():
            value = Value(code, start)
            assert getattr(value, name)(operand) == start
            assert value.value == type_(change(start, operand)).value == value.load()
        value = Value(code, start)
        assert value.compare_exchange(start, operand) is True
        assert value.value == type_(operand).value
        assert value.compare_exchange(type_(operand + 1).value, 7) is False
        value.store(operand)
        assert value.load() == type_(operand).value
    assert Value(code).add() == 1 and Value(code, 5).sub() == 4


@pytest.mark.parametrize("code", "fd")
def test_floats(code):
    value = Value(code, 1.5)
    assert value.add(0.25) == 1.75 and value.sub(1) == 0.75
    assert value.fetch_add(1) == 0.75 and value.fetch_sub(0.5) == 1.75
    assert value.exchange(3) == 1.25 and value.load() == 3.0
    assert value.compare_exchange(3.0, 4.0) and not value.compare_exchange(3.0, 5.0)
    value.store(2.5)
    assert value.value == 2.5
    for name in ("fetch_and", "fetch_or", "fetch_xor"):
        with pytest.raises(TypeError):
            getattr(value, name)(1)


def test_other_types_are_refused():
    for value in (Value("c"), Value(ctypes.c_void_p)):
        for name in ("add", "sub", "fetch_add", "fetch_or"):
            with pytest.raises(TypeError):
                getattr(value, name)(1)
    for wrong in ("a", 1.5, None):
        with pytest.raises(TypeError):
            Value("i").add(wrong)


def test_nothing_is_lost(children):
    total, mask = Value("q"), Value("Q")

    def work(bit):
        for _ in range(5000):
            total.add(1)
        mask.fetch_or(1 << bit)

    threads = [threading.Thread(target=work, args=(bit,)) for bit in range(2)]
    for thread in threads:
        thread.start()
    children.in_fork(work, 2)
    for thread in threads:
        thread.join()
    assert total.value == 15000 and mask.value == 7


@pytest.mark.native_only
def test_the_lock_is_not_waited_for():
    value = Value("i", 1)
    done = []
    with value.get_lock():
        thread = threading.Thread(target=lambda: done.append(value.add(1)))
        thread.start()
        thread.join(10)
        assert done == [2]
