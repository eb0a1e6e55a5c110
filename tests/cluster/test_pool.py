"""The pool's methods on real workers."""

from __future__ import annotations

import operator
import os
import signal
from typing import Any

import pytest

from procession_cluster import ClusterContext
from procession_core import NotSupportedError, WorkerDiedError
from procession_core import TimeoutError as ProcessTimeoutError
from procession_pool import BrokenPoolError, RemoteError, RemoteTraceback

from .conftest import Cluster, eventually


def square(x: int) -> int:
    return x * x


def raise_for_three(x: int) -> int:
    if x == 3:
        raise KeyError(x)
    return x


class Awkward(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__("awkward")


def raise_awkward(_: object) -> None:
    raise Awkward(1, 2)


def worker_pid(_: object = None) -> int:
    return os.getpid()


def kill_myself(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def slow(x: float) -> float:
    import time

    time.sleep(x)
    return x


def count_start(name: str) -> None:
    os.environ[name] = str(int(os.environ.get(name, "0")) + 1)


def starts(name: str) -> tuple[int, int]:
    return os.getpid(), int(os.environ.get(name, "0"))


def fail_to_start() -> None:
    raise OSError("no licence")


def test_the_meta_distribution_gives_the_context(cluster: Cluster) -> None:
    procession = pytest.importorskip("procession")
    with procession.get_context("dask", address=cluster.address) as context, context.Pool() as pool:
        assert pool.map(square, range(4)) == [0, 1, 4, 9]
    with pytest.raises(TypeError, match="address"):
        procession.get_context("fork", address=cluster.address)


def test_apply_map_starmap(ctx: Any) -> None:
    with ctx.Pool() as pool:
        assert pool.apply(square, (7,)) == 49
        assert pool.apply(int, ("ff",), {"base": 16}) == 255
        assert pool.map(square, range(100)) == [x * x for x in range(100)]
        assert pool.map(square, []) == []
        assert pool.starmap(operator.add, [(1, 2), (3, 4)], chunksize=1) == [3, 7]
        assert pool.map(lambda x: x + 1, [1, 2]) == [2, 3]


def test_imap_reads_its_input_as_results_are_taken(ctx: Any) -> None:
    read = []

    def numbers() -> Any:
        for n in range(10_000):
            read.append(n)
            yield n

    with ctx.Pool() as pool:
        results = pool.imap(square, numbers(), buffersize=4)
        assert next(results) == 0
        assert len(read) < 100
        assert sorted(pool.imap_unordered(square, range(50), chunksize=7)) == [x * x for x in range(50)]


def test_callbacks_and_timeouts(ctx: Any) -> None:
    seen: list[Any] = []
    with ctx.Pool() as pool:
        pool.apply_async(square, (3,), callback=seen.append).get(60)
        pool.map_async(raise_for_three, [3], error_callback=seen.append).wait(60)
        assert seen[0] == 9
        assert isinstance(seen[1], KeyError)
        late = pool.apply_async(slow, (2,))
        with pytest.raises(ProcessTimeoutError, match=r"within 0\.01 s"):
            late.get(0.01)
        with pytest.raises(ValueError, match="not ready"):
            late.successful()
        assert late.get(60) == 2
        assert late.successful()


def test_an_exception_is_that_of_the_local_pool(ctx: Any) -> None:
    with ctx.Pool() as pool:
        with pytest.raises(KeyError) as caught:
            pool.map(raise_for_three, range(5))
        assert isinstance(caught.value.__cause__, RemoteTraceback)
        assert "raise_for_three" in str(caught.value.__cause__)
        with pytest.raises(RemoteError, match="awkward"):
            pool.apply(raise_awkward, (0,))
        results = pool.imap(raise_for_three, range(5))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(KeyError):
            next(results)
        assert list(results) == [4]


def test_the_initializer_runs_once_in_each_worker(ctx: Any) -> None:
    with ctx.Pool(initializer=count_start, initargs=("PROCESSION_STARTS",)) as pool:
        seen = set(pool.map(starts, ["PROCESSION_STARTS"] * 40, chunksize=1))
    assert {count for _, count in seen} == {1}
    with ctx.Pool(initializer=fail_to_start) as pool, pytest.raises(BrokenPoolError, match="no licence"):
        pool.map(square, range(3))


def test_closed_pools_take_no_tasks(ctx: Any) -> None:
    pool = ctx.Pool()
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    pending = pool.map_async(square, range(10))
    pool.close()
    pool.join()
    assert pending.get() == [x * x for x in range(10)]
    with pytest.raises(ValueError, match="not running"):
        pool.apply(square, (1,))


@pytest.mark.parametrize("wrong", [{"processes": 0}, {"initializer": 5}])
def test_bad_arguments(ctx: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        ctx.Pool(**wrong)
    with ctx.Pool() as pool:
        with pytest.raises(ValueError, match="Chunksize"):
            pool.imap(square, [1], chunksize=0)
        with pytest.raises(TypeError, match="chunksize must be an int"):
            pool.map(square, [1], chunksize="2")
        with pytest.raises(ValueError, match="timeout=-1"):
            pool.apply_async(square, (1,), timeout=-1)


@pytest.mark.parametrize(
    ("options", "alternative"),
    [({"memory_limit": 1 << 30}, "--memory-limit"), ({"on_exit": print}, "WorkerPlugin"),
     ({"idle_timeout": 1.0}, "adapt"), ({"daemon": False}, "distributed.worker.daemon")],
)  # fmt: skip
def test_options_that_a_cluster_has_in_its_own_way(
    ctx: Any, options: dict[str, Any], alternative: str
) -> None:
    with pytest.raises(NotSupportedError, match=alternative):
        ctx.Pool(**options)
    with pytest.raises(TypeError, match="nonsense"):
        ctx.Pool(nonsense=1)
    with ctx.Pool(maxtasksperchild=3) as pool:
        with pytest.raises(NotSupportedError, match=r"cluster\.scale"):
            pool.resize(3)
        assert len(pool.stats()["workers"]) == 2


def test_big_arrays_travel_once(ctx: Any) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.ones(500_000)
    with ctx.Pool() as pool:
        totals = pool.starmap(lambda a, k: float(a.sum()) + k, [(array, k) for k in range(20)], chunksize=1)
    assert totals == [500_000 + k for k in range(20)]


def test_a_worker_killed_in_mid_map_costs_nothing(ctx: Any, cluster: Cluster) -> None:
    with ctx.Pool() as pool:
        pids = set(pool.map(worker_pid, range(20), chunksize=1))
        running = pool.map_async(slow, [0.1] * 30, chunksize=1)
        os.kill(pids.pop(), signal.SIGKILL)
        assert running.get(90) == [0.1] * 30


def test_a_task_that_kills_its_workers_is_named(ctx: Any) -> None:
    with ctx.Pool() as pool, pytest.raises(WorkerDiedError, match="kill_myself"):
        pool.apply_async(kill_myself, (0,)).get(90)
    with ctx.Pool() as pool:
        assert pool.apply(square, (4,)) == 16


def test_fifty_thousand_small_tasks(ctx: Any) -> None:
    with ctx.Pool() as pool:
        assert pool.map(square, range(50_000)) == [x * x for x in range(50_000)]
        assert sum(pool.imap(square, range(5_000))) == sum(x * x for x in range(5_000))


def test_what_a_cluster_cannot_do_names_the_alternative(ctx: Any) -> None:
    with pytest.raises(NotSupportedError, match="Queue"):
        ctx.Pipe()
    with pytest.raises(NotSupportedError, match="task arguments"):
        ctx.Array("i", 3)
    with pytest.raises(NotSupportedError, match="context has Pool"):
        ctx.Manager().Pool()
    for thing in (ctx, ctx.Manager()):
        with pytest.raises(AttributeError):
            thing.nonsense  # noqa: B018


def test_the_embedded_cluster_ends_with_its_context() -> None:
    context = ClusterContext(n_workers=1)
    with context, context.Pool() as pool:
        pid = pool.apply(worker_pid)
        assert pid != os.getpid()
        assert context.cpu_count() == 1
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
