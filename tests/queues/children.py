"""What the tests run in children, and how they start them."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

PATIENCE = 40.0


class Context:
    """The little that the portable variant asks of a context."""

    def __init__(self, method: str) -> None:
        self._method = method

    def get_start_method(self, allow_none: bool = False) -> str:
        return self._method


def start(method: str, function: Any, *args: Any) -> Any:
    """A started child that runs ``function(*args)``."""
    process = pytest.importorskip("procession_process", reason="needs procession-process")
    cls = {"fork": "ForkProcess", "spawn": "SpawnProcess", "forkserver": "ForkServerProcess"}[method]
    child = getattr(process, cls)(target=function, args=args)
    child.start()
    return child


def finish(*children: Any, code: int = 0) -> None:
    """All children end in time, and well."""
    for child in children:
        child.join(PATIENCE)
        assert child.exitcode == code


def produce(queue: Any, number: int, first: int, last: int) -> None:
    for i in range(first, last):
        queue.put((number, i))


def produce_many(queue: Any, number: int, first: int, last: int) -> None:
    queue.put_many((number, i) for i in range(first, last))


def consume(queue: Any, results: Any) -> None:
    """Everything up to None; reports per producer how many came, and whether in order."""
    counts: dict[int, int] = {}
    latest: dict[int, int] = {}
    ordered = True
    while (item := queue.get()) is not None:
        number, i = item
        counts[number] = counts.get(number, 0) + 1
        ordered = ordered and i > latest.get(number, -1)
        latest[number] = i
    results.put((counts, ordered))


def echo(inward: Any, outward: Any) -> None:
    while (item := inward.get()) is not None:
        outward.put(item)


def put_and_leave(queue: Any, items: list[Any]) -> None:
    for item in items:
        queue.put(item)


def put_and_vanish(queue: Any, items: list[Any]) -> None:
    put_and_leave(queue, items)
    os._exit(0)


def work(queue: Any) -> None:
    while queue.get() is not None:
        queue.task_done()
    queue.task_done()


def get_one(queue: Any, results: Any) -> None:
    try:
        results.put(queue.get())
    except BaseException as error:
        results.put(type(error).__name__)


def put_later(queue: Any, delay: float, item: Any) -> None:
    time.sleep(delay)
    queue.put(item)


def read_all(queue: Any, results: Any) -> None:
    results.put(list(queue))


def stop_self(queue: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hold_a_while(queue: Any, ready: Any, go_on: Any) -> None:
    ready.put(None)
    go_on.get()


class Unpicklable:
    def __reduce__(self) -> Any:
        raise AttributeError("not this one")
