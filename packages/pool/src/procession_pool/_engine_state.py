"""What an engine knows, and its lock.

The engine is one object in six files, each a class on top of the one before: state, jobs, dispatch, collect,
waiting, engine.  All state is guarded by one lock, which is never held while foreign code runs, except that
results are unpickled under it.  ``enter()`` takes it, ``mine()`` says whether this thread has it (a finaliser ran
inside the engine).  docs/internals/pool.md explains who wakes whom.
"""

from __future__ import annotations

import os
from collections import deque
from heapq import heappop

from ._batches import Batch, Leftover
from ._deaths import DeathRecords
from ._errors import BrokenPoolError
from ._functions import FunctionTable
from ._guard import Guard
from ._results import AsyncResult, MapResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._crew import Worker
    from ._iterators import IMapIterator
    from ._results import AsyncResult, Job, MapResult


RUN = "RUN"
CLOSE = "CLOSE"
TERMINATE = "TERMINATE"

WAKE_NEVER, WAKE_IDLE, WAKE_ALWAYS = 0, 1, 2

SLICE = 0.0004
"""Tiny tasks are sent in batches of about so many seconds of work."""
SMALL_SLICE = 0.0001
"""No batch is made smaller than this for the sake of fair shares."""
MOST_IN_BATCH = 512
LAZY_WAIT = 0.0005
"""A waiting caller lets results gather for so long before it asks to be woken for each one."""
DRAIN_MOST = 20000
QUICK = 0.00005
GATHER = 64


class EngineState:
    """Tasks, workers and results of one pool."""

    def __init__(self, crew: Any) -> None:
        self.crew = crew  # a Crew, which takes a whole Engine
        self.hub = crew.hub
        self.owner_pid = os.getpid()
        self.functions = FunctionTable(crew.pickling)
        self.jobs: dict[int, Job] = {}
        self.workers: list[Worker] = []
        self.channels: list[Any] = []
        self.state = RUN
        self.forgotten = False  # the pool was collected: terminate
        self.broken: BaseException | None = None
        self.deaths = DeathRecords()
        self.finished = 0  # tasks done by workers that have ended
        self.callbacks: deque[tuple[Callable[[Any], object], Any]] = deque()
        self.urgent = 0
        self._queue: deque[Any] = deque()
        self._guard = guard = Guard(
            BrokenPoolError(
                f"this pool belongs to process {self.owner_pid}, which made it; make one in the process that forked off"
            )
        )
        self.enter: Callable[[], None] = guard.enter
        self._leave: Callable[[], None] = guard.leave
        self.mine: Callable[[], bool] = guard.mine
        self._again = False
        self._followers: list[tuple[Any, Any]] = []
        self._watchers: dict[IMapIterator, list[Callable[[Any], object]]] = {}
        self._inbox: deque[tuple[Worker, int, int, int, list[Any]]] = deque()
        self._batch_serial = 0
        self._job_serial = 0
        self._in_flight = 0
        self._deadlines: list[tuple[float, int, Batch]] = []
        self._delayed: list[tuple[float, int, Leftover]] = []
        self._attempts: dict[tuple[int, int], int] = {}
        self._soon = False  # the pool's thread will send what has gathered
        self._feeders: dict[IMapIterator, Any] = {}
        self._inputs: list[IMapIterator] = []

    def leave(self) -> None:
        """Give the lock back that ``enter()`` took; wakes the pool's thread if there is something only it does."""
        if self.callbacks:
            self.crew.wake()
        self._leave()

    def next_job(self) -> int:
        """Return a new job number."""
        self._job_serial += 1
        return self._job_serial

    def queued(self) -> int:
        """Return how many tasks wait in the pool."""
        count = 0
        for entry in self._queue:
            if type(entry) is AsyncResult:
                count += 1
            elif type(entry) is Leftover:
                count += entry.count
            elif isinstance(entry, MapResult):
                count += len(entry._results) // entry._chunksize - entry._cursor
            else:
                count += len(entry._items) - entry._cursor
        return max(0, count)

    def next_deadline(self) -> float | None:
        """Return when the pool's thread has to look again, on the monotonic clock."""
        times = []
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].received >= deadlines[0][2].count:
            heappop(deadlines)
        if deadlines:
            times.append(deadlines[0][0])
        if self._delayed:
            times.append(self._delayed[0][0])
        return min(times, default=None)
