"""shared.*: Value and Array."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from bench._crew import Crew
from bench._measure import Sample, Scale, case, check, each, median, per_call


def _increment(value: Any, n: int) -> None:
    for _ in range(n):
        with value.get_lock():
            value.value += 1


@case("shared.value.incr")
def increment(mp: Any, scale: Scale) -> Sample:
    """``with v.get_lock(): v.value += 1`` in one process."""
    value = mp.Value("l", 0)
    done = 0

    def loop(n: int) -> None:
        nonlocal done
        _increment(value, n)
        done += n

    seconds = per_call(loop, scale, start=2000)
    check(value.value == done, f"{done} increments made {value.value}")
    return Sample(1 / seconds, "ops/s")


def _increment_for(value: Any, seconds: float) -> int:
    count = 0
    until = perf_counter() + seconds
    while perf_counter() < until:
        _increment(value, 100)
        count += 100
    return count


@case("shared.value.incr2p")
def increment_two(mp: Any, scale: Scale) -> Sample:
    """The same from two processes at once."""
    value = mp.Value("l", 0)
    with Crew(mp) as crew:
        crew.add(_increment_for, value, scale.window)
        crew.add(_increment_for, value, scale.window)
        seconds, counts = crew.run()
    check(value.value == sum(counts), f"{sum(counts)} increments made {value.value}")
    return Sample(sum(counts) / seconds, "ops/s")


@case("shared.value.get")
def get_value(mp: Any, scale: Scale) -> Sample:
    """``v.value`` of a synchronized Value."""
    value = mp.Value("l", 7)

    def loop(n: int) -> None:
        total = 0
        for _ in range(n):
            total += value.value
        check(total == 7 * n, "read otherwise than written")

    return Sample(per_call(loop, scale, start=5000) * 1e9, "ns")


@case("shared.value.create")
def create_value(mp: Any, scale: Scale) -> Sample:
    """Creation of a small synchronized Value."""
    check(mp.Value("i", 5).value == 5, "the first value is not what was given")

    def loop(n: int) -> None:
        for _ in range(n):
            mp.Value("i", 5)

    return Sample(per_call(loop, scale, start=50) * 1e6, "us")


def _get_item(array: Any, scale: Scale) -> Sample:
    array[500] = 2.5

    def loop(n: int) -> None:
        total = 0.0
        for _ in range(n):
            total += array[500]
        check(total == 2.5 * n, "read otherwise than written")

    return Sample(per_call(loop, scale, start=2000) * 1e9, "ns")


def _set_item(array: Any, scale: Scale) -> Sample:
    def loop(n: int) -> None:
        for index in range(n):
            array[500] = index
        check(array[500] == n - 1, "read otherwise than written")

    return Sample(per_call(loop, scale, start=2000) * 1e9, "ns")


@case("shared.array.get")
def get_array(mp: Any, scale: Scale) -> Sample:
    """``a[i]`` of a synchronized Array."""
    return _get_item(mp.Array("d", 1000), scale)


@case("shared.array.set")
def set_array(mp: Any, scale: Scale) -> Sample:
    """``a[i] = x`` of a synchronized Array."""
    return _set_item(mp.Array("d", 1000), scale)


@case("shared.rawarray.get")
def get_raw(mp: Any, scale: Scale) -> Sample:
    """``a[i]`` of a RawArray."""
    return _get_item(mp.RawArray("d", 1000), scale)


@case("shared.rawarray.set")
def set_raw(mp: Any, scale: Scale) -> Sample:
    """``a[i] = x`` of a RawArray."""
    return _set_item(mp.RawArray("d", 1000), scale)


@case("shared.array.slice")
def slice_array(mp: Any, scale: Scale) -> Sample:
    """``a[:]`` of a synchronized Array."""
    numbers = [float(index) for index in range(1000)]
    array = mp.Array("d", numbers)
    check(array[:] == numbers, "read otherwise than written")

    def loop(n: int) -> None:
        for _ in range(n):
            array[:]

    return Sample(per_call(loop, scale, start=100) * 1e6, "us")


_LARGE = 8 << 20


def _is_zero(array: Any) -> bool:
    return bool(array[0] == 0 and array[_LARGE // 2] == 0 and array[_LARGE - 1] == 0 and len(array) == _LARGE)


def _dirty(array: Any) -> None:
    array[0] = array[_LARGE // 2] = array[_LARGE - 1] = 1.5


@case("shared.array.create64m")
def create_large(mp: Any, scale: Scale) -> Sample:
    """Creation of a zeroed 64 MB Array, all kept alive."""
    arrays = []
    times = []
    for _ in range(scale.pick(6, 3)):
        began = perf_counter()
        arrays.append(mp.Array("d", _LARGE))
        times.append(perf_counter() - began)
    check(all(_is_zero(array) for array in arrays), "a new array is not zero")
    return Sample(median(times) * 1e3, "ms")


@case("shared.array.recreate64m")
def recreate_large(mp: Any, scale: Scale) -> Sample:
    """The same, each dropped before the next."""

    def action() -> float:
        began = perf_counter()
        array = mp.Array("d", _LARGE)
        seconds = perf_counter() - began
        check(_is_zero(array), "a new array is not zero")
        _dirty(array)
        return seconds

    action()
    return Sample(each(action, scale.pick(8, 3)) * 1e3, "ms")
