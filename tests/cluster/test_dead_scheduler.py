"""The scheduler is killed: whoever waits gets a clear error soon, whoever asks later gets it at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from procession_cluster import ClusterContext
from procession_core import ServerDiedError

from .conftest import Cluster


def slow(_: object) -> None:
    time.sleep(60)


@pytest.fixture(params=["address", "client"])
def doomed(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[Cluster, Any]]:
    """A cluster of this test's own, and a context on it, by address or by client."""
    mine = Cluster(tmp_path, workers=1)
    context = ClusterContext(mine.address if request.param == "address" else mine.client)
    yield mine, context
    context.close()
    mine.close()


def wait_in_all_ways(ctx: Any) -> dict[str, Callable[[], Any]]:
    pool, process = ctx.Pool(), ctx.Process(target=slow, args=(0,))
    process.start()
    lock, taken, event, queue = ctx.Lock(), ctx.Semaphore(1), ctx.Event(), ctx.Queue()
    lock.acquire()
    taken.acquire()
    pending = pool.apply_async(slow, (0,))
    iterator = pool.imap(slow, range(5))
    return {
        "get": pending.get,
        "map": lambda: pool.map(slow, range(5)),
        "next": lambda: next(iterator),
        "Process.join": process.join,
        "Queue.get": queue.get,
        "Lock.acquire": lock.acquire,
        "Semaphore.acquire": taken.acquire,
        "Event.wait": event.wait,
    }


def ask_in_all_ways(ctx: Any, value: Any, shared: Any, pool: Any) -> dict[str, Callable[[], Any]]:
    return {
        "Pool": ctx.Pool,
        "apply": lambda: pool.apply(slow, (1,)),
        "imap": lambda: pool.imap(slow, [1]),
        "Queue": ctx.Queue,
        "Lock": ctx.Lock,
        "Process": lambda: ctx.Process(target=slow, args=(0,)).start(),
        "cpu_count": ctx.cpu_count,
        "value": lambda: value.value,
        "add": lambda: value.add(1),
        "append": lambda: shared.append(2),
    }


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


def test_nobody_hangs_and_everybody_is_told(doomed: tuple[Cluster, Any]) -> None:
    mine, ctx = doomed
    value, shared, pool = ctx.Value("i", 1), ctx.Manager().list([1]), ctx.Pool()
    waits = wait_in_all_ways(ctx)
    begun = threading.Semaphore(0)

    def wait(call: Callable[[], Any]) -> Any:
        begun.release()
        return outcome(call)

    with ThreadPoolExecutor(len(waits)) as threads:
        futures = {name: threads.submit(wait, call) for name, call in waits.items()}
        for _ in waits:
            begun.acquire()
        time.sleep(0.5)  # for the requests to be on their way; what comes later must fail just as well
        assert not any(future.done() for future in futures.values())
        mine.kill_scheduler()
        told = {name: future.result(60) for name, future in futures.items()}
    assert {name: error for name, error in told.items() if not isinstance(error, ServerDiedError)} == {}
    assert all("scheduler" in str(error) and "new context" in str(error) for error in told.values())
    started = time.monotonic()
    later = {name: outcome(call) for name, call in ask_in_all_ways(ctx, value, shared, pool).items()}
    assert {name: error for name, error in later.items() if not isinstance(error, ServerDiedError)} == {}
    assert time.monotonic() - started < 20
    pool.terminate()
    pool.join()
