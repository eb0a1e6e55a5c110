"""The tests of the local pool that apply to a cluster's, run on a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from procession_pool import (
    MaybeEncodingError,
    RemoteError,
    RemoteTraceback,
    SoftTimeoutError,
    TaskTimeoutError,
)
from tests.pool import tasks
from tests.pool.test_extras import test_executor  # noqa: F401
from tests.pool.test_pool import (  # noqa: F401 - collected here with this module's any_pool
    test_a_callback_may_use_the_pool,
    test_a_callback_that_raises_is_reported_and_the_pool_goes_on,
    test_a_pool_is_not_pickled,
    test_an_input_may_wait_for_results,
    test_an_input_that_raises,
    test_apply,
    test_arguments_and_results_are_released,
    test_buffersize_bounds_what_is_read_ahead,
    test_callbacks_come_before_the_result,
    test_cancel,
    test_closed_pools_take_nothing,
    test_imap,
    test_imap_goes_on_after_an_exception,
    test_join_needs_close,
    test_many_threads_use_one_pool,
    test_map,
    test_options_that_there_are_not,
    test_repr,
    test_results_convert_to_futures_and_are_awaitable,
    test_starmap,
    test_terminate_fails_what_is_left,
    test_timeouts,
    test_values_of_all_kinds_arrive,
)
from tests.pool.test_progress import (  # noqa: F401
    test_a_bar,
    test_progress,
    test_progress_is_told_though_nobody_waits,
    test_progress_of_imap,
    test_what_is_no_progress,
)


@pytest.fixture
def any_pool(ctx: Any) -> Iterator[Any]:
    """A pool for three workers on the module's cluster."""
    pool = ctx.Pool(3)
    yield pool
    pool.terminate()
    pool.join()


# ---- what the local suite tests in ways of its own ---------------------------------------------------------


def test_an_exception_arrives_with_its_traceback(any_pool: Any) -> None:
    with pytest.raises(ValueError, match="bad 3") as caught:
        any_pool.starmap(tasks.fail_on, [(3, 1), (3, 3), (3, 5)], 1)
    assert type(caught.value.__cause__) is RemoteTraceback
    assert "fail_on" in str(caught.value.__cause__)


@pytest.mark.parametrize("place", ["unpickle", "task", "returning", "lock"])
def test_exceptions(any_pool: Any, place: str) -> None:
    from tests.pool.test_disasters import ERRORS, submit

    for name, expected in ERRORS.items():
        wanted: Any = (expected, MaybeEncodingError) if place == "returning" else expected
        with pytest.raises(wanted):
            submit(any_pool, place, name).get(60)
    assert any_pool.apply(tasks.square, (3,)) == 9


def test_errors_of_pickling(any_pool: Any) -> None:
    import threading

    lock = threading.Lock()
    with pytest.raises(MaybeEncodingError) as caught:
        any_pool.apply(tasks.return_lock)
    assert "lock" in caught.value.value and "pickle" in caught.value.exc
    with pytest.raises(TypeError, match="pickle"):
        any_pool.apply(tasks.same, (lock,))
    with pytest.raises(TypeError, match="pickle"):
        any_pool.map_async(tasks.same, [1, lock, 3], 1).get(60)
    with pytest.raises(RemoteError) as stand_in:
        any_pool.apply(tasks.raise_stubborn)
    assert stand_in.value.type_name.endswith("tasks.Stubborn")
    assert "1 and 2" in str(stand_in.value) and "raise_stubborn" in stand_in.value.tb
    with pytest.raises(RemoteError) as stand_in:
        any_pool.apply(tasks.raise_unpicklable)
    assert "has a lock" in str(stand_in.value)
    with pytest.raises(ValueError, match="no way back"):
        any_pool.apply(tasks.return_bad_at_home)
    assert any_pool.map(tasks.square, range(10), 1) == [x * x for x in range(10)]


def test_large_arrays_travel_and_may_be_written(any_pool: Any) -> None:
    numpy = pytest.importorskip("numpy")
    arrays = [numpy.full(200_000, i, dtype="f8") for i in range(6)]
    results = any_pool.map(tasks.same, arrays, 1)
    assert all((a == b).all() for a, b in zip(arrays, results, strict=True))
    results[0][0] = 7.0


def test_closures_travel(any_pool: Any) -> None:
    offset = 5
    assert any_pool.map(lambda x: x + offset, range(3)) == [5, 6, 7]


def test_hard_timeout(any_pool: Any) -> None:
    with pytest.raises(TaskTimeoutError, match=r"nap.*timeout of 0\.2 s") as caught:
        any_pool.apply_async(tasks.nap, (3,), timeout=0.2).get(60)
    assert caught.value.stack is not None and "in nap" in caught.value.stack
    assert any_pool.apply_async(tasks.square, (4,), timeout=30).get(60) == 16


def test_soft_timeout(any_pool: Any) -> None:
    assert any_pool.apply_async(tasks.catch_soft_timeout, soft_timeout=0.2).get(60) == "cleaned up"
    with pytest.raises(SoftTimeoutError):
        any_pool.apply_async(tasks.spin, (30,), soft_timeout=0.2).get(60)
    assert any_pool.apply_async(tasks.square, (4,), soft_timeout=30).get(60) == 16


def fail_first(path: str, x: int) -> int:
    import os

    with open(os.path.join(path, str(x)), "a") as file:
        file.write(".")
        if file.tell() < 3:
            raise OSError("try again")
    return x


def test_retries(any_pool: Any, tmp_path: Any) -> None:
    options = {"retries": 2, "retry_on": OSError, "backoff": 0.01}
    pending = any_pool.starmap_async(fail_first, [(str(tmp_path), x) for x in range(4)], **options)
    assert pending.get(60) == list(range(4))
    with pytest.raises(OSError, match="try again"):
        any_pool.apply_async(fail_first, (str(tmp_path), 9), retries=1, retry_on=OSError).get(60)


def test_close_lets_an_unconsumed_imap_run_to_its_end(ctx: Any, tmp_path: Any) -> None:
    import functools

    pool = ctx.Pool(2)
    pool.imap(functools.partial(tasks.touch, str(tmp_path)), range(300), buffersize=2)
    pool.close()
    pool.join()
    assert len(list(tmp_path.iterdir())) == 300


def test_a_cancelled_future_cancels_its_call(any_pool: Any) -> None:
    results = [any_pool.apply_async(tasks.nap, (0.5,)) for _ in range(20)]
    last = results[-1].future()
    assert last.cancel() and results[-1].cancelled()
    assert [result.future().result(60) for result in results[:3]] == [0.5] * 3


def test_a_cancelled_await_cancels_its_call(any_pool: Any) -> None:
    async def main() -> None:
        result = any_pool.apply_async(tasks.nap, (0.5,))
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.05):
                await result
        assert result.cancelled()
        assert await any_pool.apply_async(tasks.square, (3,)) == 9

    asyncio.run(main())


def name_of_task() -> str:
    from procession_pool import current_task

    return current_task()


def test_state_and_tasks_names_of_workers(ctx: Any) -> None:
    from procession_pool import log_tasks

    with (
        ctx.Pool(initializer=tasks.set_state, initargs=(5,)) as pool,
        ctx.Pool(initializer=log_tasks) as other,
    ):
        assert pool.map(call, [tasks.get_state] * 4, 1) == [5] * 4
        assert other.apply(name_of_task) == "name_of_task()"
        assert pool.map(call, [tasks.get_state] * 4, 1) == [5] * 4


def call(function: Any) -> Any:
    return function()
