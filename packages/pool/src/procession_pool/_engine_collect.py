"""Collecting results, and what a worker leaves behind."""

from __future__ import annotations

import time
from heapq import heappop

from procession_core import StaleHandleError, debug

from ._batches import Leftover
from ._engine_dispatch import EngineDispatch
from ._engine_state import DRAIN_MOST, TERMINATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._batches import Batch
    from ._crew import Worker


class EngineCollect(EngineDispatch):
    """The engine's part that hears from the workers."""

    def pump(self) -> None:
        """Collect what the workers have sent, deliver it, and give them more. Never blocks for long."""
        if self.mine():
            self._again = True
            return
        self.enter()
        try:
            self._pump()
        finally:
            self.leave()

    def _pump(self) -> None:
        channels = self.channels
        while True:
            self._again = False
            workers = self.workers
            runs = self.hub.drain(channels, self.crew.loads, DRAIN_MOST)
            inbox = self._inbox
            for at, status, batch, first, values in runs:
                inbox.append((workers[at], status, batch, first, values))
            runs = None
            while inbox:
                self._handle(*inbox.popleft())
            self._dispatch()
            if not self._again:
                return

    def _handle(self, worker: Worker, status: int, id: int, first: int, values: list[Any]) -> None:
        if status == 3:
            self.crew.message(self, worker, values[0])
            return
        batch = worker.batches.get(id)
        if batch is None:
            return
        count = len(values)
        batch.received += count
        self._in_flight -= count
        worker.sent -= count
        if status:
            error = (
                self.crew.error(values[0])
                if status == 1
                else self._undecodable(worker, batch, first, values[0])
            )
            self._failed(batch, first, error)
            if self.crew.memory_limit is not None and isinstance(error, MemoryError) and not worker.leaving:
                # What filled its memory may still be there.
                self.crew.retire(self, worker)
        elif batch.jobs is None:
            owner: Any = batch.job
            if self._attempts:
                self._attempts.pop((owner._job, batch.base + first), None)
            owner._deliver(batch.base + first, values)
        else:
            jobs = batch.jobs
            if count == 1:
                jobs[first]._deliver(0, values)
            else:
                over = self.jobs
                others_lead = self._guard.leader != self._guard.owner
                for job, value in zip(jobs[first : first + count], values, strict=True):
                    if job._sealed:
                        continue
                    if self._followers or others_lead or not job._plain():
                        job._deliver(0, [value])
                        continue
                    # AsyncResult._finish(), spelt out for the many calls of a batch
                    job._value = value
                    job._success = job._sealed = job._over = True
                    job._pool = job._function = job._arg = None
                    over.pop(job._job, None)
        if batch.received >= batch.count:
            self._batch_over(worker, batch)

    def _pump_one(self, worker: Worker) -> None:
        # Everything that it has sent counts.
        while worker.channel.ready():
            for _, status, id, first, values in self.hub.drain([worker.channel], self.crew.loads, DRAIN_MOST):
                self._inbox.append((worker, status, id, first, values))
            while self._inbox:
                self._handle(*self._inbox.popleft())

    def worker_gone(self, worker: Worker, replace: bool = True) -> None:
        """A worker has ended: fail what it ran, take back the rest, replace it. The lock is held."""
        if worker.gone:
            return
        # First: what its results name is given back when it is waited for.
        self._pump_one(worker)
        worker.reap()
        worker.gone = True
        self.finished += worker.channel.times()[1]
        worker.lost()
        if worker in self.workers:
            at = self.workers.index(worker)
            # New lists: others may be looking at the old ones.
            self.workers = self.workers[:at] + self.workers[at + 1 :]
            self.channels = self.channels[:at] + self.channels[at + 1 :]
        expected = worker.leaving or self.crew.stopping
        for batch in list(worker.batches.values()):
            cut = worker.channel.cut(batch.position, 0)
            claimed = batch.count if cut is None else min(cut[0], batch.count)
            running = batch.received if claimed > batch.received else None
            self._in_flight -= batch.count - batch.received
            if batch.count > claimed:
                self._queue.appendleft(Leftover(batch, claimed, batch.count - claimed))
            if running is not None:
                job = batch.job if batch.jobs is None else batch.jobs[running]
                if job is not None and not job._sealed:
                    self._failed(batch, running, self._death_of(worker, batch, running))
        worker.batches.clear()
        if not expected:
            debug("worker %s died: %s", worker.pid, worker.exitcode)
        if replace and self.state != TERMINATE and self.broken is None:
            self.crew.replace(self, worker, expected)
        self._dispatch()
        self.hub.ring_leader()

    def _death_of(self, worker: Worker, batch: Batch, task: int) -> BaseException:
        job: Any = batch.job if batch.jobs is None else batch.jobs[task]
        description = job._describe(batch.base + task if batch.jobs is None else 0)
        return self.deaths.describe(worker, description, self.attempt(batch, task))

    def _undecodable(self, worker: Worker, batch: Batch, task: int, error: BaseException) -> BaseException:
        if isinstance(error, StaleHandleError) and not worker.alive():
            # The memory of the result went with its worker, before it was read.
            worker.reap()
            return self._death_of(worker, batch, task)
        error.add_note("raised while the pool unpickled a task's result")
        return error

    def check_deadlines(self) -> None:
        """End the workers whose task has run too long, and try again what is due. The lock is held."""
        now = time.monotonic()
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            _, _, batch = heappop(deadlines)
            worker = batch.worker
            if worker is None or worker.gone or batch.id not in worker.batches:
                continue
            self._pump_one(worker)
            if batch.id in worker.batches:
                worker.timed_out = True
                self.crew.end(worker, "its task ran longer than its timeout")
        if self._delayed:
            self._dispatch()
