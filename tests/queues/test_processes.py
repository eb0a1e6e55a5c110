"""Queues between processes, for every start method and both variants."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from procession_queues import Empty, Queue, ShutDown
from tests.queues.children import (
    PATIENCE,
    consume,
    echo,
    finish,
    get_one,
    produce,
    produce_many,
    put_and_leave,
    put_later,
    read_all,
    start,
    work,
)


def test_there_and_back(make: Any, start_method: str, kind: str) -> None:
    inward, outward = getattr(make, kind)(), getattr(make, kind)()
    child = start(start_method, echo, inward, outward)
    for item in (1, "two", [3], b"4" * 100_000, {"five": 6.0}):
        inward.put(item)
        assert outward.get(timeout=PATIENCE) == item
    inward.put(None)
    finish(child)


@pytest.mark.parametrize("producer", [produce, produce_many])
def test_many_to_many(make: Any, start_method: str, producer: Any) -> None:
    queue, results, each = make.Queue(), make.Queue(), 2000
    children = [start(start_method, producer, queue, n, 0, each) for n in range(3)]
    consumers = [start(start_method, consume, queue, results) for _ in range(3)]
    finish(*children)
    for _ in consumers:
        queue.put(None)
    total: dict[int, int] = {}
    for _ in consumers:
        counts, ordered = results.get(timeout=PATIENCE)
        assert ordered
        for number, count in counts.items():
            total[number] = total.get(number, 0) + count
    assert total == {n: each for n in range(3)}
    finish(*consumers)
    assert queue.qsize() == 0


def test_bounded(make: Any, start_method: str) -> None:
    queue = make.Queue(7)
    child = start(start_method, produce, queue, 0, 0, 500)
    assert [queue.get(timeout=PATIENCE)[1] for _ in range(500)] == list(range(500))
    finish(child)


@pytest.mark.native_only
def test_child_ends_with_its_items_unread(make: Any, start_method: str) -> None:
    queue = make.Queue()
    items = [os.urandom(100_000) for _ in range(20)]
    child = start(start_method, put_and_leave, queue, items)
    finish(child)
    assert queue.qsize() == 20
    assert [queue.get() for _ in range(20)] == items


def test_items_are_there_when_the_child_has_ended(make: Any, start_method: str) -> None:
    queue = make.Queue()
    child = start(start_method, put_and_leave, queue, [1, "b", [3]])
    finish(child)
    assert [queue.get(timeout=PATIENCE) for _ in range(3)] == [1, "b", [3]]


def test_task_done_in_children(make: Any, start_method: str) -> None:
    queue = make.JoinableQueue()
    workers = [start(start_method, work, queue) for _ in range(3)]
    queue.put_many(range(1, 101))
    assert queue.join(PATIENCE)
    queue.put_many([None] * 3)
    assert queue.join(PATIENCE)
    finish(*workers)


def test_shutdown_reaches_children(make: Any, start_method: str) -> None:
    queue, results = make.Queue(), make.Queue()
    child = start(start_method, read_all, queue, results)
    queue.put("a")
    time.sleep(0.05)
    queue.put("b")
    queue.shutdown()
    assert results.get(timeout=PATIENCE) == ["a", "b"]
    finish(child)
    late = start(start_method, get_one, queue, results)
    assert results.get(timeout=PATIENCE) == "ShutDown"
    finish(late)
    with pytest.raises(ShutDown):
        queue.get()


def test_descriptor_wakes_for_a_child(make: Any, start_method: str) -> None:
    import select

    queue = make.Queue()
    poller = select.poll()
    poller.register(queue.fileno(), select.POLLIN)
    assert poller.poll(0) == []
    child = start(start_method, put_later, queue, 0.05, "ding")
    assert poller.poll(PATIENCE * 1000)
    assert queue.get() == "ding"
    assert poller.poll(0) == []
    finish(child)


@pytest.mark.native_only
def test_queue_through_a_queue(make: Any, start_method: str) -> None:
    carrier, results = make.Queue(), make.Queue()
    inner = make.Queue()
    inner.put("inside")
    carrier.put({"queue": inner, "more": [inner]})
    del inner
    child = start(start_method, _unwrap, carrier, results)
    assert results.get(timeout=PATIENCE) == "inside"
    finish(child)


def _unwrap(carrier: Any, results: Any) -> None:
    item = carrier.get()
    results.put(item["more"][0].get(timeout=PATIENCE))


@pytest.mark.portable_only
def test_portable_queue_goes_only_to_a_child(make: Any, start_method: str) -> None:
    import pickle

    with pytest.raises(RuntimeError, match="inheritance"):
        pickle.dumps(make.Queue())


def test_subclass_with_state_of_its_own(make: Any, start_method: str) -> None:
    queue = Counted(tag="tagged", ctx=None if start_method == "fork" else _context(start_method))
    child = start(start_method, _use_counted, queue)
    assert queue.get(timeout=PATIENCE) == "tagged"
    finish(child)
    with pytest.raises(Empty):
        queue.get_nowait()


def _context(method: str) -> Any:
    from tests.queues.children import Context

    return Context(method)


def _use_counted(queue: Any) -> None:
    queue.put(queue.tag)


class Counted(Queue):
    """A subclass as many programs have it: its own attribute, its own pickling around ours."""

    def __init__(self, tag: str, ctx: Any = None) -> None:
        super().__init__(ctx=ctx)
        self.tag = tag

    def __getstate__(self) -> Any:
        return {"parent": super().__getstate__(), "tag": self.tag}

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state["parent"])
        self.tag = state["tag"]
