"""Pools of every kind under one name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import procession_process
from procession_pool import Pool, ThreadPool

CONTEXTS = {
    "fork": SimpleNamespace(Process=procession_process.ForkProcess),
    "spawn": SimpleNamespace(Process=procession_process.SpawnProcess),
    "forkserver": SimpleNamespace(Process=procession_process.ForkServerProcess),
}


@pytest.fixture
def make_pool(start_method: str) -> Iterator[Callable[..., Any]]:
    """Make process pools that are ended after the test."""
    made = []

    def make(*args: Any, **kwargs: Any) -> Any:
        pool = Pool(*args, context=CONTEXTS[start_method], **kwargs)
        made.append(pool)
        return pool

    yield make
    for pool in made:
        pool.terminate()
        pool.join()


@pytest.fixture(params=["threads", "processes"])
def any_pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A pool of three workers: of threads, of processes."""
    pool = ThreadPool(3) if request.param == "threads" else Pool(3)
    yield pool
    pool.terminate()
    pool.join()
