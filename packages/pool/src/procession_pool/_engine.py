"""The engine of every pool: which task is where, and what happens when a worker dies.

One engine drives workers of any kind (processes over native or portable channels, threads, processes behind
queues); the kinds differ in their crew (``_crew_*.py``).
"""

from __future__ import annotations

from _thread import allocate_lock

from ._batches import Batch
from ._engine_state import CLOSE, GATHER, QUICK, RUN, TERMINATE
from ._engine_waiting import EngineWaiting
from ._errors import CancelledError
from ._guard import shield_off, shield_on
from ._iterators import IMapIterator, feed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._crew import Worker
    from ._iterators import IMapIterator
    from ._results import AsyncResult, Job


class Engine(EngineWaiting):
    """The engine's part that its pool calls."""

    def submit(self, job: Job) -> None:
        """Queue a job and give its tasks to workers that have room."""
        shield_on()
        try:
            if job._callback is not None or job._error_callback is not None or job._progress is not None:
                self.urgent += 1
            if self.mine():
                self._add(job)
                self._again = True
                return
            self.enter()
            try:
                self._add(job)
                self._dispatch()
            finally:
                self.leave()
        finally:
            shield_off()

    def _add(self, job: Job) -> None:
        # Under the lock: a job that is over before the engine knows all of it would never be forgotten.
        self.jobs[job._job] = job
        self._queue.append(job)
        if isinstance(job, IMapIterator):
            self._inputs.append(job)
            if not job._inline:
                self._start_feeder(job)
        if self.state == TERMINATE:
            job._abort(_terminated())

    def submit_call(self, job: AsyncResult) -> None:
        """Queue one call; as ``submit()``, with less to look at."""
        queue = self._queue
        # Not interrupted half-way, and in this order: as soon as the job is in the queue, another thread may send it,
        # receive its result and forget it.
        shield_on()
        try:
            if job._callback is not None or job._error_callback is not None:
                self.urgent += 1
            self.jobs[job._job] = job
            queue.append(job)
        finally:
            shield_off()
        if self.mine():
            if self.state == TERMINATE:
                job._abort(_terminated())
            self._again = True
            return
        if self.state == TERMINATE:
            self._come_too_late(job)
            return
        # Calls of a function known to be quick gather here and go out in batches: to wake a worker costs more
        # than they do.  Who waits, the pool's thread, or every so-and-so-many-th call sends them.
        function = job._function
        if function is not None and function.average is not None and function.average < QUICK:
            waiting = len(queue)
            if waiting % GATHER and self.state == RUN and job._policy is None:
                if not self._soon:
                    shield_on()
                    try:
                        self._soon = True
                        self.crew.wake()
                    finally:
                        shield_off()
                return
        self.enter()
        try:
            self._pump()
        finally:
            self.leave()

    def _come_too_late(self, job: AsyncResult) -> None:
        # Another thread has terminated the pool since this one looked whether it runs.
        self.enter()
        try:
            if not job._sealed:
                job._abort(_terminated())
        finally:
            self.leave()

    def run_now(self, job: AsyncResult) -> Any:
        """Queue one call and wait for it; the caller collects the result itself if nobody else does."""
        if self._guard.take_lead():
            try:
                self.hub.lead(True)
                self.jobs[job._job] = job
                self.enter()
                try:
                    if self.state == TERMINATE:
                        job._abort(_terminated())
                    elif not self._start_now(job):
                        self._queue.append(job)
                        self._pump()
                finally:
                    self.leave()
                self._lead_until(job, None, None, fresh=True)
            finally:
                self._end_lead()
        else:
            self.submit_call(job)
        return job.get()

    def _start_now(self, job: AsyncResult) -> bool:
        # The short way for a call that finds an idle worker and no queue.
        function = job._function
        if self._queue or job._policy is not None or function is None or self.broken is not None:
            return False
        for worker in self.workers:
            if not worker.batches and worker.room():
                batch = Batch(0, None, [job], function, job._kind, [job._arg], 0, 1, 0)
                return self._send(worker, batch, None) > 0
        return False

    def submit_failed(self, job: Job, error: BaseException) -> None:
        """A job that cannot be sent: it fails at once."""
        self._submit_over(job, lambda: job._abort(error))

    def submit_done(self, job: Job, value: Any) -> None:
        """A job that has nothing to do."""
        self._submit_over(job, lambda: job._finish(True, value))

    def _submit_over(self, job: Job, end: Callable[[], object]) -> None:
        self.enter()
        try:
            if job._callback is not None or job._error_callback is not None or job._progress is not None:
                self.urgent += 1
            self.jobs[job._job] = job
            end()
        finally:
            self.leave()

    def _start_feeder(self, job: IMapIterator) -> None:
        from threading import Thread

        gate = allocate_lock()
        gate.acquire()
        self._feeders[job] = gate
        Thread(target=feed, args=(job, self), name=f"PoolInput-{job._job}", daemon=True).start()

    def wait_for_room(self, job: IMapIterator) -> bool:
        """Called by a feeder: wait until the job may be given more; False: it is over."""
        gate = self._feeders[job]
        while True:
            if job._over or job._source is None or self.state == TERMINATE:
                self._feeders.pop(job, None)
                return False
            if job._allowed() > 0:
                return True
            gate.acquire(True, 1.0)

    def add_input(self, job: IMapIterator, new: list[Any], ended: bool, error: BaseException | None) -> None:
        """Called by a feeder."""
        self.enter()
        try:
            was_empty = job._exhausted()
            job._add(new, ended, error)
            if was_empty and new and not job._over:
                if job not in self._queue:
                    self._queue.append(job)
                self._dispatch()
            elif ended:
                self._tidy()
        finally:
            self.leave()

    def cancel(self, job: Job, running: bool) -> bool:
        """Drop a job's tasks; see AsyncResult.cancel()."""
        self.enter()
        try:
            self._pump()
            if job._sealed:
                return False
            busy = self._withdraw(job)
            if busy and not running:
                self._dispatch()
                return False
            job._abort(CancelledError("the task was cancelled"))
            for worker in busy:
                self.crew.end(worker, "its task was cancelled")
            self._dispatch()
            return True
        finally:
            self.leave()

    def abandon(self, job: Job) -> None:
        """Nobody wants the results: drop the tasks that have not begun, let the others end."""
        self.enter()
        try:
            if not job._sealed:
                self._withdraw(job)
                job._abort(CancelledError("nobody waits for the result"))
                self._dispatch()
        finally:
            self.leave()

    def _withdraw(self, job: Job) -> list[Worker]:
        # Takes back what has not begun; returns the workers that run the rest.
        busy: list[Worker] = []
        for worker in self.workers:
            for batch in list(worker.batches.values()):
                if batch.job is not job and (batch.jobs is None or job not in batch.jobs):
                    continue
                if batch.jobs is None or len(batch.jobs) == 1:
                    self._take_back(worker, batch, 0)
                else:
                    self._take_back(worker, batch, batch.jobs.index(job) if job in batch.jobs else 0)
                if batch.received < batch.count and (batch.jobs is None or job in batch.jobs):
                    busy.append(worker)
        return busy

    def close(self) -> None:
        """No new jobs; the workers end when all are done."""
        shield_on()
        try:
            self.enter()
            try:
                if self.state == RUN:
                    self.state = CLOSE
                    for job in self._inputs:
                        job._limit_lifted = True
                    self._pump()
            finally:
                self.leave()
            if not self.crew.stopping:
                self.crew.wake()
        finally:
            shield_off()

    def collapse(self, error: BaseException) -> None:
        """The pool's thread has failed: so does everything else."""
        self.enter()
        try:
            self.break_with(error)
        finally:
            self.leave()
        self.terminate()

    def terminate(self) -> None:
        """End now: every job that is not complete fails, the workers are ended."""
        shield_on()
        try:
            self.enter()
            try:
                self.state = TERMINATE
                self._queue.clear()
                self._delayed.clear()
                self._deadlines.clear()
                for job in list(self.jobs.values()):
                    job._abort(_terminated())
            finally:
                self.leave()
            self.hub.ring_leader()
            self.crew.wake()
        finally:
            shield_off()


def _terminated() -> CancelledError:
    return CancelledError("the pool was terminated before this task was done")


__all__ = ("CLOSE", "RUN", "TERMINATE", "Engine")
