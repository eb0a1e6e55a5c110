"""What the tests' children run."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any


def put_item(proxy: Any, key: Any, value: Any) -> None:
    proxy[key] = value


def take_and_hang(lock: Any, event: Any) -> None:
    lock.acquire()
    event.set()
    signal.pause()


def interrupt_starter(starter: int, settled: Any) -> None:
    """Send the process that waits for this server the SIGINT of its user, then go on as if nothing were."""
    settled.wait(20)
    time.sleep(0.05)  # it goes to sleep in its wait now
    os.kill(starter, signal.SIGINT)


def get_one(queue: Any, ready: Any) -> None:
    ready.set()
    queue.get()


def make_and_die(manager: Any, conn: Any) -> None:
    kept = [manager.list([number]) for number in range(20)]
    conn.send(len(kept))
    signal.pause()


def read_from_queue(inbox: Any, outbox: Any) -> None:
    proxy = inbox.get()
    outbox.put(proxy[0])


def count_up(proxy: Any, times: int) -> None:
    for _ in range(times):
        proxy.update_item("n", increment)


def increment(value: int) -> int:
    return value + 1


def wait_at(barrier: Any, ready: Any) -> None:
    ready.set()
    barrier.wait()


class Thing:
    """A type of the user's, whose methods may block."""

    def __init__(self, start: int = 0) -> None:
        self.number = start

    def block(self, seconds: float) -> str:
        time.sleep(seconds)
        return "slept"

    def quick(self) -> int:
        self.number += 1
        return self.number

    def where(self) -> int:
        return os.getpid()

    def fail_deeply(self) -> None:
        self._inner()

    def _inner(self) -> None:
        raise LookupError("deep down")

    def unpicklable(self) -> Any:
        return threading.Lock()

    def itself(self) -> Thing:
        return self
