"""Kills a process at every store of every operation on queues.  Run by test_queue_steps.py.

A program of its own, because it needs the build of the core that dies on request.  For each scenario and each
k = 1, 2, … a forked child arms the k-th fault point, runs the operation and dies there.  The survivors then find
each item delivered once or in the hands of the killed process, a queue that works, and all memory back.  A
scenario ends with the first k that the operation does not reach.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from killing import STRIDE, reap, require, used

from procession_native import core
from procession_queues import Empty, JoinableQueue, Queue

BIG = 40_000  # bytes: travels in a block
SEEN: dict[str, int] = {}


def drain(queue: Any) -> list[Any]:
    items = []
    while True:
        try:
            items.append(queue.get(timeout=0.0))
        except Empty:
            return items


def item(i: int, size: int = 0) -> Any:
    """Items of every way to travel: a tagged value, text, a pickle, a block, a message with references."""
    shapes = [
        lambda: i,
        lambda: f"{i}",
        lambda: [i],
        lambda: b"%d " % i + b"x" * BIG,
        lambda: [i, Queue()],
        lambda: b"%d " % i + b"y" * 3000,
    ]
    return shapes[i % 6]()


def number(thing: Any) -> int:
    if isinstance(thing, list):
        return int(thing[0])
    return int(thing.split()[0]) if isinstance(thing, (str, bytes)) else int(thing)


def run(name: str, before: list[int], operation: Callable[[Any], Any], adds: list[int], takes: int, maxsize: int = 0,
        task_done: int = 0) -> None:  # fmt: skip
    k = 1 - STRIDE
    ended = False
    while not ended:
        k += STRIDE
        start = used()
        queue = JoinableQueue(maxsize)
        for i in before:
            queue.put(item(i))
        pid = os.fork()
        if pid == 0:
            core.fault_set(k)
            operation(queue)
            core.fault_set(0)
            os._exit(0)
        code = reap(pid)
        ended = code == 0
        require(ended or code == -signal.SIGKILL, f"{name}, step {k}: exit code {code}")
        if not maxsize:
            queue.put("5000")
        require(queue.peek() is not None if before or not maxsize else True, "peek")
        found = [number(thing) for thing in drain(queue)]
        if not maxsize:
            require(found and found.pop() == 5000, f"{name}, step {k}: the queue lost a later item: {found}")
        old = [i for i in found if i in before]
        new = [i for i in found if i not in before]
        taken = len(before) - len(old)
        require(old == before[taken:], f"{name}, step {k}: {found} is not a tail of {before}")
        require(taken <= takes and (not ended or taken == takes), f"{name}, step {k}: {taken} items are gone")
        require(
            new == adds[: len(new)] and (not ended or new == adds),
            f"{name}, step {k}: {new} of {adds} arrived",
        )
        totals = queue.totals()
        require(
            totals["put"] == totals["taken"] == len(before) + len(new) + (not maxsize),
            f"{name}, step {k}: {totals}",
        )
        require(totals["bytes"] == 0, f"{name}, step {k}: {totals}")
        require(totals["done"] <= task_done, f"{name}, step {k}: {totals}")
        for _ in range(totals["put"] - totals["done"]):
            queue.task_done()
        require(queue.join(5), f"{name}, step {k}: join")
        for i in range(20):
            queue.put(item(i))
            queue.get(timeout=5)
        del queue
        left = used() - start
        require(left == 0, f"{name}, step {k}: {left} bytes are not given back")
        wrong = core.check()
        require(wrong is None, f"{name}, step {k}: {wrong}")
    SEEN[name] = k - 1


def put_all(numbers: list[int]) -> Callable[[Any], None]:
    def operation(queue: Any) -> None:
        for i in numbers:
            queue.put(item(i))

    return operation


def put_bulk(queue: Any) -> None:
    queue.put_many([item(i) for i in range(100, 106)])


def take(count: int) -> Callable[[Any], None]:
    def operation(queue: Any) -> None:
        for _ in range(count):
            queue.get()

    return operation


def take_bulk(queue: Any) -> None:
    left = 8
    while left:
        left -= len(queue.get_many(left))


def poll_and_take(queue: Any) -> None:
    queue.fileno()
    queue.get()


def poll_and_put(queue: Any) -> None:
    queue.fileno()
    queue.put(item(100))


def ask(padding: bytes) -> Callable[[Any], None]:
    """A call through a manager's lane: a request that goes and an answer that comes in one step of the core."""

    def operation(queue: Any) -> None:
        answers = type(queue)()
        answers.put(b"answer")
        require(answers._ask(queue, b"100 " + padding, b"key", None) == b"answer", "another answer")

    return operation


def make_and_fill(queue: Any) -> None:
    other = Queue()
    for i in range(8):
        other.put(item(i))
    del other


def main() -> None:
    warm = Queue()
    warm.put_many([item(i) for i in range(12)])
    keep = [Queue() for _ in range(60)]
    del warm, keep
    several = list(range(8))
    for i in range(6):
        run(f"put of {type(item(i)).__name__} {i}", [1, 2], put_all([100 + i]), [100 + i], 0)
    run("put, bounded", [1, 2], put_all([100]), [100], 0, maxsize=40)
    run("put into new chunks", [], put_all([5, 11, 17, 23]), [5, 11, 17, 23], 0)
    run("put_many", [1], put_bulk, list(range(100, 106)), 0)
    for i in range(6):
        run(f"get of {type(item(i)).__name__} {i}", [i, 200], take(1), [], 1)
    run("get, bounded", several, take(2), [], 2, maxsize=40)
    run("get out of chunks", [5, 11, 17, 23, 29], take(4), [], 4)
    run("get_many", several, take_bulk, [], 8)
    run("polled get", several, poll_and_take, [], 1)
    run("polled put", [1, 2], poll_and_put, [100], 0)
    run("ask", [1, 2], ask(b""), [100], 0)
    run("ask, large", [1, 2], ask(b"x" * BIG), [100], 0)
    run("task_done", several, lambda queue: queue.task_done(), [], 0, task_done=1)
    run("a queue made, filled and freed", several, make_and_fill, [], 0)
    print(json.dumps({"steps": SEEN, "branches": core.fault_branches()}))


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(str(error))
