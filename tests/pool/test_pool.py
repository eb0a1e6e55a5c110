"""The documented behaviour, over threads and processes."""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import re
import threading
import time
import warnings
import weakref
from typing import Any

import pytest

from procession_core import TimeoutError  # noqa: A004 - the documented name
from procession_pool import AsyncResult, CancelledError, Pool, RemoteTraceback, ThreadPool
from procession_process import get_start_method

from . import tasks


def test_apply(any_pool: Any) -> None:
    assert any_pool.apply(tasks.add, (1, 2)) == 3
    assert any_pool.apply(tasks.add, (1,), {"c": 4}) == 5
    assert any_pool.apply(tasks.add, [1, 2]) == 3


@pytest.mark.parametrize("chunksize", [None, 1, 3, 1000])
def test_map(any_pool: Any, chunksize: int | None) -> None:
    assert any_pool.map(tasks.square, range(100), chunksize) == [x * x for x in range(100)]
    assert any_pool.map(tasks.square, (x for x in range(7)), chunksize) == [x * x for x in range(7)]
    assert any_pool.map(tasks.square, [], chunksize) == []


@pytest.mark.parametrize("chunksize", [None, 1, 3])
def test_starmap(any_pool: Any, chunksize: int | None) -> None:
    pairs = [(x, x + 1) for x in range(50)]
    assert any_pool.starmap(tasks.add, pairs, chunksize) == [a + b for a, b in pairs]
    iterators = [iter(pair) for pair in pairs]
    assert any_pool.starmap_async(tasks.add, iterators, chunksize).get() == [a + b for a, b in pairs]


@pytest.mark.parametrize("chunksize", [1, 7])
def test_imap(any_pool: Any, chunksize: int) -> None:
    assert list(any_pool.imap(tasks.square, range(1000), chunksize)) == [x * x for x in range(1000)]
    assert list(any_pool.imap(tasks.square, iter(range(100)), chunksize)) == [x * x for x in range(100)]
    assert sorted(any_pool.imap_unordered(tasks.square, range(1000), chunksize)) == [
        x * x for x in range(1000)
    ]
    assert list(any_pool.imap(tasks.square, [], chunksize)) == []


def test_values_of_all_kinds_arrive(any_pool: Any) -> None:
    numbers = [0, -1, 2**62, 2**63, -(2**63), -(2**70), 1.5, float("inf")]
    texts = ["", "text", "\x00", "\u00e9", "\ud800", b"", b"x" * 10, b"y" * 5000, b"z" * 300000, "w" * 300000]
    tuples = [(), (1, 2), (1, (2, ("a", None))), (1, [2]), tuple(range(200))]
    lists = [[], [1, 2, 3], [1, True], [1.5, 2], ["a", [1]], [2**80]]
    values = [None, True, False, *numbers, *texts, *tuples, *lists, {"a": 1}, {1, 2}, range(5)]
    results = any_pool.map(tasks.same, values, 1)
    assert results == values
    assert [type(r) for r in results] == [type(v) for v in values]
    assert any_pool.map(tasks.same, values, 5) == values


def test_an_exception_arrives_with_its_traceback() -> None:
    with Pool(1) as pool:
        with pytest.raises(ValueError, match="bad 3") as caught:
            pool.starmap(tasks.fail_on, [(3, 1), (3, 3), (3, 5)], 1)
    assert type(caught.value.__cause__) is RemoteTraceback
    assert "fail_on" in str(caught.value.__cause__)
    with ThreadPool(1) as threads:
        with pytest.raises(ValueError) as caught:
            threads.apply(tasks.raise_value, (1,))
    assert caught.value.__cause__ is None


def test_imap_goes_on_after_an_exception(any_pool: Any) -> None:
    import functools

    iterator = any_pool.imap(functools.partial(tasks.fail_on, 5), range(10))
    got: list[Any] = []
    for _ in range(10):
        try:
            got.append(next(iterator))
        except ValueError:
            got.append("failed")
    assert got == [0, 1, 2, 3, 4, "failed", 6, 7, 8, 9]
    with pytest.raises(StopIteration):
        next(iterator)


def test_timeouts(any_pool: Any) -> None:
    result = any_pool.apply_async(tasks.nap, (0.5,))
    with pytest.raises(TimeoutError):
        result.get(timeout=0.01)
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    result.wait(0)
    assert result.get(10) == 0.5
    assert result.ready() and result.successful()
    iterator = any_pool.imap(tasks.nap, [0.3])
    with pytest.raises(TimeoutError):
        iterator.next(timeout=0.01)
    assert iterator.next(10) == 0.3
    with pytest.raises(StopIteration):
        iterator.next()


def test_callbacks_come_before_the_result(any_pool: Any) -> None:
    seen: list[Any] = []
    assert any_pool.apply_async(tasks.square, (7,), callback=seen.append).get(10) == 49
    assert seen == [49]
    any_pool.map_async(tasks.square, range(3), callback=seen.append).wait(10)
    assert seen == [49, [0, 1, 4]]
    with pytest.raises(ValueError):
        any_pool.apply_async(tasks.raise_value, (1,), callback=seen.append, error_callback=seen.append).get(
            10
        )
    assert isinstance(seen[2], ValueError) and len(seen) == 3


def test_a_callback_that_raises_is_reported_and_the_pool_goes_on(
    any_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)
    assert any_pool.apply_async(tasks.square, (2,), callback=lambda _: 1 / 0).get(10) == 4
    assert any_pool.apply(tasks.square, (3,)) == 9
    assert [type(r.exc_value) for r in reported] == [ZeroDivisionError]


def test_a_callback_may_use_the_pool(any_pool: Any) -> None:
    chained: list[Any] = []
    done = threading.Event()

    def more(value: int) -> None:
        chained.append(any_pool.apply_async(tasks.square, (value,)))
        done.set()

    any_pool.apply_async(tasks.square, (3,), callback=more)
    assert done.wait(10)
    assert chained[0].get(10) == 81


def test_many_threads_use_one_pool(any_pool: Any) -> None:
    failures: list[BaseException] = []

    def use(n: int) -> None:
        try:
            for i in range(30):
                assert any_pool.apply(tasks.add, (n, i)) == n + i
            assert any_pool.map(tasks.square, range(50), 1) == [x * x for x in range(50)]
            assert list(any_pool.imap(tasks.square, range(50))) == [x * x for x in range(50)]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in threads)


def test_closed_pools_take_nothing(any_pool: Any) -> None:
    result = any_pool.map_async(tasks.nap, [0.05] * 4, 1)
    any_pool.close()
    for method in (any_pool.apply, any_pool.apply_async):
        with pytest.raises(ValueError, match="Pool not running"):
            method(tasks.square, (1,))
    for method in (
        any_pool.map,
        any_pool.imap,
        any_pool.imap_unordered,
        any_pool.map_async,
        any_pool.starmap,
    ):
        with pytest.raises(ValueError, match="Pool not running"):
            method(tasks.square, [1])
    any_pool.join()
    assert result.get(0) == [0.05] * 4


def test_join_needs_close(any_pool: Any) -> None:
    with pytest.raises(ValueError, match="Pool is still running"):
        any_pool.join()


def test_terminate_fails_what_is_left(any_pool: Any) -> None:
    result = any_pool.map_async(tasks.nap, [0.2] * 100, 1)
    started = time.monotonic()
    any_pool.terminate()
    any_pool.join()
    assert time.monotonic() - started < 5
    with pytest.raises(CancelledError):
        result.get(5)


def test_close_lets_an_unconsumed_imap_run_to_its_end(tmp_path: Any) -> None:
    import functools

    pool = Pool(2)
    pool.imap(functools.partial(tasks.touch, str(tmp_path)), range(300), buffersize=2)
    pool.close()
    pool.join()
    assert len(list(tmp_path.iterdir())) == 300


def test_buffersize_bounds_what_is_read_ahead(any_pool: Any) -> None:
    read = 0

    def source() -> Any:
        nonlocal read
        for i in range(1000):
            read += 1
            yield i

    iterator = any_pool.imap(tasks.square, source(), buffersize=5)
    assert next(iterator) == 0
    for i in range(1, 20):
        assert next(iterator) == i * i
        assert read <= i + 1 + 5 + 1
    iterator.cancel()


def test_an_input_may_wait_for_results(any_pool: Any) -> None:
    # A generator whose items depend on what the consumer has seen.
    seen: list[int] = []
    more = threading.Semaphore(1)

    def source() -> Any:
        for i in range(20):
            assert more.acquire(timeout=30)
            yield i

    for value in any_pool.imap(tasks.square, source()):
        seen.append(value)
        more.release()
    assert seen == [i * i for i in range(20)]


def test_an_input_that_raises(any_pool: Any) -> None:
    def source() -> Any:
        yield from range(7)
        raise KeyError("input")

    for method, chunksize, expected in [
        (any_pool.imap, 1, 7),
        (any_pool.imap, 4, 4),
        (any_pool.imap_unordered, 1, 7),
    ]:
        got = []
        with pytest.raises(KeyError):
            for value in method(tasks.same, source(), chunksize):
                got.append(value)
        if method == any_pool.imap:
            assert got == list(range(expected))
    with pytest.raises(KeyError):
        any_pool.map(tasks.same, source())


def test_wrong_arguments() -> None:
    for processes in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            Pool(processes)
    with pytest.raises(TypeError):
        Pool(1, initializer=3)  # type: ignore[arg-type]
    for limit in (0, -1, 0.5, "12"):
        with pytest.raises(ValueError, match="maxtasksperchild"):
            Pool(1, maxtasksperchild=limit)  # type: ignore[arg-type]
    with ThreadPool(1) as pool:
        for size in (0, -1):
            with pytest.raises(ValueError):
                pool.imap(tasks.square, [1], chunksize=size)
            with pytest.raises(ValueError):
                pool.imap(tasks.square, [1], buffersize=size)
        with pytest.raises(TypeError):
            pool.imap(tasks.square, 5)  # type: ignore[arg-type]


class Four:
    """An integer of another kind, as numpy's are."""

    def __index__(self) -> int:
        return 4


def test_integers_of_other_kinds() -> None:
    four: Any = Four()
    with Pool(four) as pool:
        assert len(pool._pool) == 4
        assert pool.map(tasks.square, range(9), four) == [x * x for x in range(9)]
        assert list(pool.imap(tasks.square, range(9), four)) == [x * x for x in range(9)]
        for wrong in (1.5, "4"):
            with pytest.raises(TypeError, match="^chunksize must be an int"):
                pool.map(tasks.square, range(9), wrong)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="^chunksize must be an int"):
                pool.imap(tasks.square, range(9), wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "values", "error"),
    [
        ("timeout", (0, -1, float("nan"), float("inf")), ValueError),
        ("timeout", ("1", b"1", [1]), TypeError),
        ("soft_timeout", (0, -0.1), ValueError),
        ("soft_timeout", ("1",), TypeError),
        ("retries", (-1, 1.5, "1"), ValueError),
        ("backoff", (-1, float("inf")), ValueError),
        ("backoff", ("1",), TypeError),
        ("retry_on", (3, "ValueError", int, (ValueError, 3)), TypeError),
    ],
)
def test_wrong_options(any_pool: Any, option: str, values: tuple[Any, ...], error: type[Exception]) -> None:
    for value in values:
        for call in (any_pool.apply_async, any_pool.map_async, any_pool.imap):
            with pytest.raises(error, match=f"^{option}={re.escape(repr(value))} is not a"):
                call(tasks.square, (3,), **{option: value})
        if not isinstance(any_pool, ThreadPool):
            with pytest.raises(error, match=f"^{option}="):
                Pool(1, **{option: value})


@pytest.mark.parametrize(
    ("option", "values", "error"),
    [
        ("memory_limit", (0, -5), ValueError),
        ("memory_limit", ("1G", 1.5), TypeError),
        ("on_exit", (3, "print"), TypeError),
        ("idle_timeout", (0, -1, float("inf")), ValueError),
        ("idle_timeout", ("x",), TypeError),
    ],
)
def test_wrong_options_of_a_pool(option: str, values: tuple[Any, ...], error: type[Exception]) -> None:
    """They are refused before a worker is started."""
    for value in values:
        with pytest.raises(error, match=f"^{option}.*{re.escape(repr(value))}"):
            Pool(1, **{option: value})


def test_options_that_there_are_not(any_pool: Any) -> None:
    for call in (any_pool.map_async, any_pool.starmap_async, any_pool.imap, any_pool.imap_unordered):
        for value in (1, None):
            with pytest.raises(
                TypeError, match="unexpected keyword argument 'nonsense'; the options of a call"
            ):
                call(tasks.square, [], nonsense=value)


def test_arguments_and_results_are_released(any_pool: Any) -> None:
    class Thing:
        pass

    things = [[i] for i in range(10)]
    thing = Thing()
    reference = weakref.ref(thing)
    any_pool.map_async(len, [[thing]] if isinstance(any_pool, ThreadPool) else things).get(10)
    del thing, things
    deadline = time.monotonic() + 5
    while reference() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert reference() is None
    assert not any_pool._cache


def test_a_forgotten_pool_ends_its_workers() -> None:
    pool = Pool(2)
    pool.apply(tasks.square, (2,))
    workers = list(pool._pool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del pool
        gc.collect()
    for worker in workers:
        worker.join(5)
        assert not worker.is_alive()


def test_a_forgotten_pool_warns() -> None:
    pool = Pool(1)
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        del pool
        gc.collect()


def test_a_pool_is_not_collected_while_results_are_awaited() -> None:
    def start() -> Any:
        return Pool(1).apply_async(tasks.nap, (0.3,))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        result = start()
        gc.collect()
        assert result.get(10) == 0.3
        gc.collect()


def test_repr(any_pool: Any) -> None:
    assert "state=RUN pool_size=3" in repr(any_pool)
    assert "pending" in repr(any_pool.apply_async(tasks.nap, (0.2,)))


def test_results_can_be_named_with_their_type() -> None:
    assert AsyncResult[int].__origin__ is AsyncResult


def test_a_pool_is_not_pickled(any_pool: Any) -> None:
    import pickle

    with pytest.raises(
        NotImplementedError, match="pool objects cannot be passed between processes or pickled"
    ):
        pickle.dumps(any_pool)


def test_workers_are_named_after_the_start_method() -> None:
    method = get_start_method() or ""
    with Pool(1) as pool:
        assert pool.apply(tasks.name_of_worker).lower().startswith(f"{method}poolworker-")


def test_a_cancelled_future_cancels_its_call() -> None:
    with Pool(1) as pool:
        running = pool.apply_async(tasks.nap, (1000,))
        queued = pool.apply_async(tasks.square, (3,))
        for result in (queued, running):
            future = result.future()
            assert future.cancel() and result.cancelled()
            assert concurrent.futures.wait([future], 60).done == {future}
        over = pool.apply_async(tasks.square, (4,)).future()
        assert over.result(60) == 16 and not over.cancel()


def test_results_convert_to_futures_and_are_awaitable(any_pool: Any) -> None:
    import asyncio

    assert any_pool.apply_async(tasks.square, (5,)).future().result(10) == 25
    with pytest.raises(ValueError):
        any_pool.apply_async(tasks.raise_value, (5,)).future().result(10)

    async def main() -> Any:
        first = await any_pool.apply_async(tasks.square, (6,))
        rest = [value async for value in any_pool.imap(tasks.square, range(20))]
        both = await asyncio.gather(
            any_pool.map_async(tasks.square, [1, 2]), any_pool.apply_async(tasks.square, (4,))
        )
        with pytest.raises(ValueError):
            await any_pool.apply_async(tasks.raise_value, (1,))
        return first, rest, both

    first, rest, both = asyncio.run(main())
    assert (first, rest, both) == (36, [x * x for x in range(20)], [[1, 4], 16])


def test_cancel(any_pool: Any) -> None:
    blockers = [any_pool.apply_async(tasks.nap, (0.3,)) for _ in range(3)]
    waiting = any_pool.apply_async(tasks.square, (3,))
    assert waiting.cancel()
    assert waiting.cancelled()
    with pytest.raises(CancelledError):
        waiting.get(1)
    assert [b.get(10) for b in blockers] == [0.3] * 3
    assert not blockers[0].cancel()


def test_million_tasks_through_imap_keep_memory_bounded() -> None:
    import tracemalloc

    with Pool(2) as pool:
        assert sum(pool.imap(tasks.same, range(1000))) == sum(range(1000))
        count = 200_000
        tracemalloc.start()
        try:
            total = 0
            for value in pool.imap(tasks.same, itertools.islice(range(count), count), chunksize=100):
                total += value
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert total == sum(range(count))
    assert peak < 20 << 20
