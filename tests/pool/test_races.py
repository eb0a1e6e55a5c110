"""What other threads may do between any two lines of a submission."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

import procession_process
from procession_pool import CancelledError, Pool, ThreadPool

from . import tasks

FORK = SimpleNamespace(Process=procession_process.ForkProcess)
SUBMISSIONS = ("submit", "submit_call", "run_now", "_add")
WAYS: dict[str, Callable[[Any], Any]] = {
    "apply": lambda pool: pool.apply(tasks.square, (3,)),
    "apply_async": lambda pool: pool.apply_async(tasks.square, (3,)).get(60),
    "map": lambda pool: pool.map(tasks.square, [3, 4]),
    "imap of a list": lambda pool: list(pool.imap(tasks.square, [3, 4])),
    "imap of a generator": lambda pool: list(pool.imap(tasks.square, (n for n in (3, 4)))),
}


@pytest.fixture(params=["processes", "threads"])
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    with Pool(2, context=FORK) if request.param == "processes" else ThreadPool(2) as pool:
        yield pool


def at_lines(act: Callable[[], Any], do: Callable[[], object]) -> Any:
    """Return what *act* returns; call *do* before each line of a submission."""

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_name not in SUBMISSIONS:
            return None
        if event == "line":
            do()
        return trace

    sys.settrace(trace)
    try:
        return act()
    finally:
        sys.settrace(None)


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_is_over_before_its_submission_returns(pool: Any, way: str) -> None:
    # The function is known to be quick, and the pool's thread is awake: it sends what it finds in the queue at once.
    for n in range(100):
        pool.apply(tasks.square, (n,))
    others = []
    for _ in range(3):
        others.append(pool.apply_async(tasks.square, (1,), callback=lambda result: None))
        at_lines(lambda: WAYS[way](pool), lambda: time.sleep(0.002))
    assert [other.get(60) for other in others] == [1, 1, 1]
    pool.close()
    pool.join()  # hung: the call that was forgotten before it was known was waited for


@pytest.mark.parametrize("way", WAYS)
def test_a_pool_that_is_terminated_during_a_submission(pool: Any, way: str) -> None:
    enders = []

    def terminate() -> None:
        if not enders:
            enders.append(threading.Thread(target=pool.terminate))
            enders[0].start()
            enders[0].join()

    with pytest.raises(CancelledError):
        at_lines(lambda: WAYS[way](pool), terminate)
    pool.join()
