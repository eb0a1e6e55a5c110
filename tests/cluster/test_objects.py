"""Queues, locks, values, managers and processes on real workers."""

from __future__ import annotations

from queue import Empty, Full
from typing import Any

import pytest


def produce(queue: Any, count: int) -> None:
    for n in range(count):
        queue.put((n, {"n": n}))


def add_often(value: Any, lock: Any, times: int) -> None:
    for _ in range(times):
        with lock:
            value.value += 1


def fill(shared: Any, key: int) -> None:
    shared[key] = key * 10


def exit_with(code: Any) -> None:
    raise SystemExit(code)


def wait_for(event: Any) -> bool:
    return bool(event.wait(30))


def test_a_queue_between_tasks(ctx: Any) -> None:
    queue = ctx.Queue()
    process = ctx.Process(target=produce, args=(queue, 20))
    process.start()
    assert [queue.get(timeout=30) for _ in range(20)] == [(n, {"n": n}) for n in range(20)]
    process.join(30)
    assert process.exitcode == 0
    assert queue.empty()
    with pytest.raises(Empty):
        queue.get_nowait()
    small = ctx.Queue(1)
    small.put(1)
    assert small.full()
    with pytest.raises(Full):
        small.put(2, timeout=0.1)
    small.close()
    with pytest.raises(ValueError, match="closed"):
        small.get()


def test_a_value_under_a_lock(ctx: Any) -> None:
    value, lock = ctx.Value("i", 5), ctx.Lock()
    with ctx.Pool() as pool:
        pool.starmap(add_often, [(value, lock, 10)] * 3, chunksize=1)
    assert value.value == 35
    assert value.add(7) == 42
    with pytest.raises(TypeError, match="bad typecode"):
        ctx.Value("?", 0)


def test_locks(ctx: Any) -> None:
    lock = ctx.Lock()
    assert lock.acquire()
    assert lock.locked()
    assert not lock.acquire(False)
    lock.release()
    recursive = ctx.RLock()
    with recursive, recursive:
        assert recursive.locked()
    with pytest.raises(AssertionError, match="not owned"):
        recursive.release()
    semaphore = ctx.Semaphore(2)
    assert semaphore.acquire()
    assert semaphore.acquire()
    assert not semaphore.acquire(timeout=0.1)
    semaphore.release()
    semaphore.release()
    with pytest.raises(ValueError, match="must be >= 0"):
        ctx.Semaphore(-1)


def test_events(ctx: Any) -> None:
    event = ctx.Event()
    with ctx.Pool() as pool:
        waiting = pool.apply_async(wait_for, (event,))
        assert not event.wait(0.05)
        event.set()
        assert waiting.get(60) is True
    event.clear()
    assert not event.is_set()


def test_the_managers_containers(ctx: Any) -> None:
    with ctx.Manager() as manager:
        shared, names = manager.dict(a=1), manager.list([3, 1, 2])
        with ctx.Pool() as pool:
            pool.starmap(fill, [(shared, k) for k in range(4)], chunksize=1)
        assert shared.copy() == {"a": 1, 0: 0, 1: 10, 2: 20, 3: 30}
        assert sorted(shared.keys(), key=str) == [0, 1, 2, 3, "a"]
        names.sort()
        names.append(9)
        assert list(names) == [1, 2, 3, 9]
        assert len(names) == 4
        with pytest.raises(KeyError):
            shared["missing"]
        space = manager.Namespace(x=1)
        space.y = space.x + 1
        assert space.y == 2
        del space.y
        with pytest.raises(AttributeError):
            space.y  # noqa: B018


@pytest.mark.parametrize(("code", "exitcode"), [(None, 0), (0, 0), (3, 3), ("text", 1)])
def test_exit_codes(ctx: Any, code: Any, exitcode: int) -> None:
    process = ctx.Process(target=exit_with, args=(code,), name="leaver")
    assert process.exitcode is None
    with pytest.raises(AssertionError, match="started process"):
        process.join()
    process.start()
    with pytest.raises(AssertionError, match="twice"):
        process.start()
    process.join(30)
    assert (process.exitcode, process.is_alive()) == (exitcode, False)


def test_terminate_cancels(ctx: Any) -> None:
    event = ctx.Event()
    process = ctx.Process(target=wait_for, args=(event,))
    process.start()
    assert process.is_alive()
    process.terminate()
    process.join(30)
    assert process.exitcode == -15
    event.set()
