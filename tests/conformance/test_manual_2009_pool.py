"""The manual of Python 2.6: Process pools, and the dummy module."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest

import procession as mp
from procession import dummy

_initialized = None


def square(x):
    return x * x


def initialize(*args):
    global _initialized
    _initialized = args


def initialized():
    return _initialized


def fail(*args):
    raise LookupError("raised by the task")


def with_keywords(a, b=0):
    return a, b


def pid(_=None):
    time.sleep(0.001)
    return os.getpid()


@pytest.fixture(scope="module")
def pool():
    with mp.Pool(2) as pool:
        yield pool


def test_introduction_using_a_pool_of_workers(pool):
    assert pool.apply_async(square, [10]).get(timeout=30) == 100
    assert pool.map(square, range(10)) == [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]


def test_pool_default_number_of_processes():
    with mp.Pool() as pool:
        assert pool._processes == (
            len(os.sched_getaffinity(0)) if sys.version_info >= (3, 13) else mp.cpu_count()
        )


def test_pool_initializer():
    with mp.Pool(2, initialize, (1, "two")) as pool:
        assert pool.apply(initialized) == (1, "two")


def test_pool_apply(pool):
    assert pool.apply(with_keywords, (1,), {"b": 2}) == (1, 2)
    assert pool.apply(pid) != os.getpid()


def test_pool_apply_async_callback_is_applied_to_the_result(pool):
    results = []
    assert pool.apply_async(square, (3,), {}, results.append).get(30) == 9
    assert results == [9]


def test_pool_apply_async_callback_not_for_failures(pool):
    results = []
    result = pool.apply_async(fail, callback=results.append)
    with pytest.raises(LookupError):
        result.get(30)
    assert results == []


@pytest.mark.parametrize("chunksize", [None, 1, 3, 100])
def test_pool_map_chunksize(pool, chunksize):
    assert pool.map(square, range(50), chunksize) == [x * x for x in range(50)]


def test_pool_map_async(pool):
    results = []
    result = pool.map_async(square, range(5), 2, results.append)
    result.wait(30)
    assert result.ready() and result.successful() and results == [[0, 1, 4, 9, 16]]


def test_pool_imap(pool):
    iterator = pool.imap(square, range(10))
    assert (iterator.next(), iterator.next(), iterator.next(timeout=30)) == (0, 1, 4)
    assert next(iterator) == 9 and list(iterator) == [16, 25, 36, 49, 64, 81]


def test_pool_imap_next_with_a_timeout(pool):
    iterator = pool.imap(time.sleep, [1.0])
    with pytest.raises(mp.TimeoutError):
        iterator.next(0.01)
    assert iterator.next(30) is None


def test_pool_imap_unordered(pool):
    assert sorted(pool.imap_unordered(square, range(30), 4)) == [x * x for x in range(30)]


def test_pool_imap_unordered_with_one_worker_is_in_order():
    with mp.Pool(1) as pool:
        assert list(pool.imap_unordered(square, range(30))) == [x * x for x in range(30)]


def test_pool_close_lets_the_tasks_end():
    pool = mp.Pool(2)
    result = pool.map_async(square, range(100))
    pool.close()
    with pytest.raises(ValueError):
        pool.apply_async(square, (1,))
    pool.join()
    assert result.get(0)[-1] == 99 * 99


def test_pool_terminate_does_not_complete_the_work():
    pool = mp.Pool(2)
    begun = time.monotonic()
    result = pool.map_async(time.sleep, [600] * 4)
    pool.terminate()
    pool.join()
    assert time.monotonic() - begun < 60 and not (result.ready() and result.successful())


def test_pool_join_only_after_close_or_terminate(pool):
    with pytest.raises(ValueError):
        pool.join()


def test_result_get_with_a_timeout(pool):
    result = pool.apply_async(time.sleep, (0.5,))
    with pytest.raises(mp.TimeoutError):
        result.get(timeout=0.01)
    assert result.get(30) is None


def test_result_get_raises_what_the_call_raised(pool):
    with pytest.raises(LookupError, match="raised by the task"):
        pool.apply_async(fail).get(30)


def test_result_wait_and_ready(pool):
    result = pool.apply_async(time.sleep, (0.5,))
    result.wait(0.01)
    assert not result.ready()
    result.wait()
    assert result.ready()


def test_result_successful(pool):
    failed, fine = pool.apply_async(fail), pool.apply_async(square, (2,))
    failed.wait(30)
    fine.wait(30)
    assert fine.successful() and not failed.successful()


@pytest.mark.parametrize("error", [ValueError, AssertionError])
def test_result_successful_too_early(pool, error):
    result = pool.apply_async(time.sleep, (0.3,))
    with pytest.raises(error):
        result.successful()
    result.wait(30)


# ---- The dummy module ---------------------------------------------------------------------------------------------


def test_dummy_replicates_the_api_on_threads():
    seen = []
    process = dummy.Process(target=lambda: seen.append((os.getpid(), threading.current_thread())))
    process.start()
    process.join()
    assert isinstance(process, threading.Thread) and seen[0][0] == os.getpid()
    queue = dummy.Queue()
    queue.put(1)
    assert queue.get() == 1
    with dummy.Pool(2) as pool:
        assert pool.map(square, range(3)) == [0, 1, 4]
    for name in (
        "Lock",
        "RLock",
        "Semaphore",
        "BoundedSemaphore",
        "Condition",
        "Event",
        "Manager",
        "Value",
        "Array",
    ):
        assert hasattr(dummy, name)
