"""What workers keep of the functions they run, and what they do not."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Callable
from typing import Any

from procession_pool import Pool, ThreadPool


class Counter:
    """Counts its calls."""

    def __init__(self, filling: bytes | bytearray = b"") -> None:
        self.calls = 0
        self.filling = filling

    def call(self, *args: Any) -> int:
        self.calls += 1
        return self.calls

    __call__ = call

    def stain(self, index: int) -> int:
        """Return what is at *index*, and change it."""
        before = self.filling[index]
        self.filling[index] = 1  # type: ignore[index]
        return before


def length(data: bytes, plus: int) -> int:
    return len(data) + plus


def test_each_task_has_the_state_that_the_method_was_sent_with(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    method = Counter().call
    assert pool.map(method, range(6), chunksize=1) == [1] * 6
    assert pool.map(method, range(6), chunksize=2) == [1, 2] * 3
    assert pool.starmap(method, [(1, 2)] * 4, chunksize=4) == [1, 2, 3, 4]
    assert list(pool.imap(method, range(4))) == [1] * 4
    assert list(pool.imap(method, range(6), chunksize=3)) == [1, 2, 3] * 2
    assert [pool.apply(method) for _ in range(3)] == [1] * 3
    assert [r.get() for r in [pool.apply_async(method, (0,)) for _ in range(20)]] == [1] * 20


def test_callable_objects_and_partials_too(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    assert pool.map(Counter(), range(4), chunksize=1) == [1] * 4
    assert pool.map(functools.partial(Counter(), 1), range(4), chunksize=2) == [1, 2] * 2


def test_a_large_state_is_fresh_too(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(1)
    method = Counter(bytearray(200_000)).stain
    assert pool.map(method, [5] * 4, chunksize=1) == [0] * 4
    assert pool.map(method, [5] * 4, chunksize=2) == [0, 1] * 2


def test_large_functions_are_dropped_with_their_jobs(make_pool: Callable[..., Any]) -> None:
    pool = make_pool(2)
    for plus in range(5):
        data = bytes(300_000)
        assert pool.map(functools.partial(length, data), [plus] * 8) == [300_000 + plus] * 8
    assert all(not worker.known for worker in pool._engine.workers)
    assert all(not worker.kept._by_batch for worker in pool._engine.workers)


def test_a_method_that_was_called_does_not_keep_its_object() -> None:
    for pool in (Pool(1), ThreadPool(1)):
        counter = Counter()
        seen = weakref.ref(counter)
        pool.apply_async(counter.call).get(60)
        assert pool.apply(len, ("abc",)) == 3
        del counter
        gc.collect()
        assert seen() is None, pool
        pool.terminate()
        pool.join()


def test_an_iterator_does_not_keep_what_it_gave(any_pool: Any) -> None:
    for value in any_pool.executor().map(Counter, [b"", b""]):
        seen = weakref.ref(value)
        del value
        gc.collect()
        assert seen() is None
