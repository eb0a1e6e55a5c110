"""pool.*: two workers unless the name says otherwise."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from time import perf_counter, thread_time

from bench._crew import Crew
from bench._measure import Sample, Scale, case, check, each, per_call, rate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def increment(value: int) -> int:
    """The trivial task."""
    return value + 1


def add(first: int, second: int) -> int:
    """The trivial task of two arguments."""
    return first + second


def spin(value: int) -> int:
    """A task that takes 1 ms of CPU time."""
    until = thread_time() + 0.001
    while thread_time() < until:
        pass
    return value


def _spin_many(count: int) -> None:
    for index in range(count):
        spin(index)


def ends(item: Any) -> list[float]:
    """Length and both ends of an array or of bytes: the task of the large arguments."""
    return [len(item), float(item[0]), float(item[-1])]


def full(value: int) -> Any:
    """An array of 8 MB: the task of the large results."""
    import numpy

    return numpy.full(1 << 20, float(value))


@contextmanager
def pool_of(mp: Any, processes: int) -> Iterator[Any]:
    """A pool that has run a task; closed and joined at the end."""
    pool = mp.Pool(processes)
    n = 2 * processes
    check(list(pool.map(increment, range(n), 1)) == list(range(1, n + 1)), "wrong results")
    yield pool
    pool.close()
    pool.join()


def _total(n: int) -> int:
    return n * (n + 1) // 2


def map_rate(mp: Any, processes: int, chunksize: int | None, scale: Scale, start: int, cap: int) -> Sample:
    """Tasks per second of map over n trivial tasks."""
    with pool_of(mp, processes) as pool:

        def run(n: int) -> float:
            began = perf_counter()
            results = pool.map(increment, range(n), chunksize)
            seconds = perf_counter() - began
            check(len(results) == n and sum(results) == _total(n) and results[-1] == n, "wrong results")
            return seconds

        return Sample(rate(run, start, scale, cap), "tasks/s")


@case("pool.map.cs1")
def map_one(mp: Any, scale: Scale) -> Sample:
    """map, chunksize=1."""
    return map_rate(mp, 2, 1, scale, 1000, 100_000)


@case("pool.map.default")
def map_default(mp: Any, scale: Scale) -> Sample:
    """map, default chunksize."""
    return map_rate(mp, 2, None, scale, 100_000, 1_000_000)


@case("pool.starmap")
def starmap(mp: Any, scale: Scale) -> Sample:
    """starmap of add(i, 1), default chunksize."""
    with pool_of(mp, 2) as pool:

        def run(n: int) -> float:
            arguments = [(index, 1) for index in range(n)]
            began = perf_counter()
            results = pool.starmap(add, arguments)
            seconds = perf_counter() - began
            check(len(results) == n and sum(results) == _total(n), "wrong results")
            return seconds

        return Sample(rate(run, 50_000, scale, 1_000_000), "tasks/s")


def _iterate(mp: Any, scale: Scale, method: str, chunksize: int, start: int) -> Sample:
    with pool_of(mp, 2) as pool:
        iterate = getattr(pool, method)

        def run(n: int) -> float:
            began = perf_counter()
            results = list(iterate(increment, range(n), chunksize))
            seconds = perf_counter() - began
            check(len(results) == n and sum(results) == _total(n), "wrong results")
            check(method != "imap" or (results[0] == 1 and results[-1] == n), "wrong order")
            return seconds

        return Sample(rate(run, start, scale, 1_000_000), "tasks/s")


@case("pool.imap.cs1")
def imap_one(mp: Any, scale: Scale) -> Sample:
    """imap, chunksize=1."""
    return _iterate(mp, scale, "imap", 1, 1000)


@case("pool.imap_unordered.cs1")
def unordered_one(mp: Any, scale: Scale) -> Sample:
    """imap_unordered, chunksize=1."""
    return _iterate(mp, scale, "imap_unordered", 1, 1000)


@case("pool.imap_unordered.cs64")
def unordered_many(mp: Any, scale: Scale) -> Sample:
    """imap_unordered, chunksize=64."""
    return _iterate(mp, scale, "imap_unordered", 64, 20_000)


@case("pool.apply_async")
def apply_async(mp: Any, scale: Scale) -> Sample:
    """apply_async n times, then get each."""
    with pool_of(mp, 2) as pool:

        def run(n: int) -> float:
            apply = pool.apply_async
            began = perf_counter()
            pending = [apply(increment, (index,)) for index in range(n)]
            results = [result.get() for result in pending]
            seconds = perf_counter() - began
            check(results == list(range(1, n + 1)), "wrong results")
            return seconds

        return Sample(rate(run, 500, scale, 20_000), "tasks/s")


@case("pool.apply.rtt")
def apply(mp: Any, scale: Scale) -> Sample:
    """One synchronous round trip."""
    with pool_of(mp, 2) as pool:

        def loop(n: int) -> None:
            for index in range(n):
                if pool.apply(increment, (index,)) != index + 1:
                    check(False, "wrong result")

        return Sample(per_call(loop, scale, start=20) * 1e6, "us")


@case("pool.map.1ms")
def map_spinning(mp: Any, scale: Scale) -> Sample:
    """Efficiency against the ideal of two workers that spin 1 ms a task."""
    n = scale.pick(400, 150)
    with Crew(mp) if hasattr(mp, "Process") else nullcontext() as crew:
        plain = 0.0
        if crew is not None:
            for _ in range(2):
                crew.add(_spin_many, n // 2)
            plain, _ = crew.run()
    with pool_of(mp, 2) as pool:
        began = perf_counter()
        results = list(pool.map(spin, range(n), 1))
        seconds = perf_counter() - began
        check(results == list(range(n)), "wrong results")
    # What two plain busy loops reach at the same time says how much of the machine there was to have.
    extras = {"two_loops_percent": 100 * (n * 0.001 / 2) / plain} if plain else {}
    return Sample(100 * (n * 0.001 / 2) / seconds, "%", **extras)


@case("pool.numpy.args")
def numpy_arguments(mp: Any, scale: Scale) -> Sample:
    """Arrays of 8 MB as arguments."""
    import numpy

    n = scale.pick(32, 16)
    arrays = [numpy.full(1 << 20, float(index)) for index in range(n)]
    with pool_of(mp, 2) as pool:
        began = perf_counter()
        results = list(pool.map(ends, arrays, 1))
        seconds = perf_counter() - began
    check(results == [[1 << 20, index, index] for index in range(n)], "wrong results")
    return Sample(n * (8 << 20) / seconds / 1e6, "MB/s")


@case("pool.numpy.results")
def numpy_results(mp: Any, scale: Scale) -> Sample:
    """Arrays of 8 MB as results."""
    n = scale.pick(32, 16)
    with pool_of(mp, 2) as pool:
        list(pool.map(full, range(2), 1))
        began = perf_counter()
        results = list(pool.map(full, range(n), 1))
        seconds = perf_counter() - began
    check(all(ends(array) == [1 << 20, index, index] for index, array in enumerate(results)), "wrong results")
    return Sample(n * (8 << 20) / seconds / 1e6, "MB/s")


@case("pool.bytes1m.args")
def bytes_arguments(mp: Any, scale: Scale) -> Sample:
    """1 MB bytes as arguments."""
    n = scale.pick(128, 48)
    items = [bytes([index]) * (1 << 20) for index in range(n)]
    with pool_of(mp, 2) as pool:
        began = perf_counter()
        results = list(pool.map(ends, items, 1))
        seconds = perf_counter() - began
    check(results == [[1 << 20, index, index] for index in range(n)], "wrong results")
    return Sample(n * (1 << 20) / seconds / 1e6, "MB/s")


def _life(mp: Any, processes: int, scale: Scale, which: int) -> Sample:
    """Milliseconds to the first result (which=0) or of close and join (which=1)."""

    def action() -> float:
        began = perf_counter()
        pool = mp.Pool(processes)
        result = pool.apply(increment, (1,))
        created = perf_counter()
        check(result == 2, "wrong result")
        closing = perf_counter()
        pool.close()
        pool.join()
        return (created - began, perf_counter() - closing)[which]

    action()
    return Sample(each(action, scale.pick(12, 5)) * 1e3, "ms")


def _lives(processes: int) -> None:
    @case(f"pool.create.{processes}")
    def create(mp: Any, scale: Scale) -> Sample:
        return _life(mp, processes, scale, 0)

    @case(f"pool.close.{processes}")
    def close(mp: Any, scale: Scale) -> Sample:
        return _life(mp, processes, scale, 1)


_lives(2)
_lives(8)
