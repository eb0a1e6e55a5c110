"""What the engine needs of its workers, whatever they are."""

from __future__ import annotations

import time

from ._functions import SLOTS  # noqa: F401 - the size of `known`

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._batches import Batch
    from ._engine import Engine
    from ._functions import Function
    from ._policy import Policy


LIGHT = 1 << 21
"""Bytes of arguments in shared memory that are sent ahead of time in any case."""

COPYING = 1e-10
"""Seconds that copying a byte takes."""


class Evidence:
    """How a worker ended."""

    __slots__ = ("exitcode", "hint", "how", "out_of_memory", "signal_name", "stack")

    def __init__(
        self,
        exitcode: int | None,
        signal_name: str | None,
        out_of_memory: bool | None,
        stack: str | None,
        how: str,
        hint: str = "",
    ) -> None:
        self.exitcode = exitcode
        self.signal_name = signal_name
        self.out_of_memory = out_of_memory
        self.stack = stack
        self.how = how
        self.hint = hint


class Worker:
    """One worker as the engine sees it."""

    prefetch_below = 0.005
    process: Any = None
    pid: int | None = None
    exitcode: int | None = None

    def __init__(self, number: int, channel: Any, quota: int | None) -> None:
        self.number = number
        self.channel = channel
        self.dumps: Callable[[Any], tuple[Any, ...]] = _no_dumps
        self.quota = quota
        self.batches: dict[int, Batch] = {}
        self.known: dict[int, Function] = {}
        self.sent = 0
        self.last_busy = 0
        self.last_done = 0
        self.ready = False
        self.gone = False
        self.leaving = False
        self.timed_out = False
        self.end_reason = ""
        self.began = time.monotonic()
        self.init_value: Any = None
        self.slowest = 0.0  # seconds, of tasks that were sent alone
        self.slowest_task: str | None = None

    def room(self) -> bool:
        """Whether another batch may be sent: one to run, and for short tasks one more to have at hand."""
        batches = self.batches
        if not batches:
            return not self.leaving and (self.quota is None or self.quota > 0)
        if len(batches) > 1 or self.leaving or (self.quota is not None and self.quota <= 0):
            return False
        for batch in batches.values():
            average = batch.function.average
            if average is None or average > self.prefetch_below:
                return False
            # Large arguments ahead of time take memory that is not in use yet, which costs ten times more than
            # to fill what the last task has given back. Worth it where a task takes longer than that.
            if batch.weight > LIGHT and average < batch.weight * COPYING:
                return False
            job = batch.job if batch.jobs is None else batch.jobs[0] if batch.jobs else None
            policy: Policy | None = job._policy if job is not None else None
            if policy is not None and policy.timeout is not None:
                return False
        return True

    def batch_sent(self, batch: int) -> int:
        """What the payloads just made name is to be kept for this batch; return its bytes."""
        return 0

    def batch_done(self, batch: int) -> None:
        """No longer."""

    def lost(self) -> None:
        """It has ended, and all that it sent has been read."""

    def reap(self) -> None:
        """It has ended: wait for it, so that how it ended is known."""

    def alive(self) -> bool:
        """Whether the worker has not ended."""
        return not self.gone

    def evidence(self) -> Evidence:
        """Return how it ended."""
        return Evidence(None, None, None, None, "ended")


def _no_dumps(obj: Any) -> tuple[int, bytes]:
    raise TypeError("this worker takes objects as they are")


class Crew:
    """The workers of a pool, and what differs between kinds of them."""

    pickling = True
    hub: Any
    stopping = False
    idle_timeout: float | None = None
    memory_limit: int | None = None
    daemon = True
    shrunk = False
    surplus = False
    """Whether the pool's thread is to be woken when a worker has nothing to do, as there are more than wanted."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.exit_values: list[Any] = []
        self.init_values: dict[int, Any] = {}
        self.departed: list[Any] = []

    def loads(self, tag: int, data: bytes) -> Any:
        """Return the object that a worker sent."""
        raise TypeError("these workers send objects as they are")

    def error(self, value: Any) -> BaseException:
        """Return the exception that a worker sent."""
        return value  # type: ignore[no-any-return]

    def teach(self, worker: Worker, function: Function) -> bool:
        """Send a function; False: no room now."""
        return True

    def forget(self, worker: Worker, function: Function) -> None:
        """Drop a function that was sent, whose job is over."""

    def message(self, engine: Engine, worker: Worker, data: bytes) -> None:
        """A worker has sent something that is no result. The engine's lock is held."""

    def start(self, engine: Engine) -> None:
        """Start the workers that are missing. The engine's lock is held, or nobody knows the engine yet."""

    def retire(self, engine: Engine, worker: Worker) -> None:
        """Let a worker end that has nothing in hand, and start another. The engine's lock is held."""

    def replace(self, engine: Engine, worker: Worker, expected: bool) -> None:
        """A worker has ended: start another if one is wanted. The engine's lock is held."""

    def stop_all(self, engine: Engine) -> None:
        """Let all workers end. The engine's lock is held."""

    def end(self, worker: Worker, reason: str) -> None:
        """Kill a worker."""

    def kill_all(self, engine: Engine) -> None:
        """End all workers now; returns when they have ended, within a few seconds."""

    def signal_all(self, engine: Engine) -> None:
        """Tell all workers to end at once, without waiting."""

    def join(self, engine: Engine, thread: Any) -> None:
        """Wait until the pool's thread and all workers have ended."""
        thread.join()

    def wake(self) -> None:
        """Wake the pool's thread."""

    def wait(self, engine: Engine, timeout: float | None) -> list[Worker]:
        """In the pool's thread: wait for a ring, a death or the timeout; return the workers that have ended."""
        return []

    def tend(self, engine: Engine) -> None:
        """In the pool's thread, with the lock held: what is due besides."""

    def dispose(self) -> None:
        """Give back what the crew holds; all workers have ended."""
