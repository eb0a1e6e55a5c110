"""Jobs that end, and tasks that fail."""

from __future__ import annotations

import time
from heapq import heappush

from ._batches import Batch, Leftover
from ._engine_state import CLOSE, RUN, TERMINATE, WAKE_ALWAYS, WAKE_IDLE, WAKE_NEVER, EngineState
from ._errors import BrokenPoolError, safe_repr
from ._iterators import IMapIterator
from ._report import unraisable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._functions import Function
    from ._iterators import IMapIterator
    from ._results import Job


class Announcement:
    """Runs a job's callback, if it has one, then lets everybody see that the job is over: behind its last progress."""

    __slots__ = ("callback", "engine", "job")

    def __init__(self, engine: EngineJobs, job: Job, callback: Callable[[Any], object] | None) -> None:
        self.engine = engine
        self.job = job
        self.callback = callback

    def __call__(self, value: Any) -> None:
        try:
            if self.callback is not None:
                self.callback(value)
        finally:
            engine = self.engine
            engine.enter()
            try:
                self.job._publish()
                engine._tidy()
            finally:
                engine.leave()
            engine.hub.ring_leader()

    def __repr__(self) -> str:
        return repr(self.callback)


class EngineJobs(EngineState):
    """The engine's part that knows what the outcome of a task means to its job."""

    def call_back(self, job: Job) -> None:
        """The outcome of a job with a callback is known: it is shown once the callback has run."""
        self.urgent -= 1
        callback = job._callback if job._success else job._error_callback
        waits = callback is not None or job._progress is not None
        job._callback = job._error_callback = job._progress = None
        if waits and self.state != TERMINATE:
            self.callbacks.append((Announcement(self, job, callback), job._value))
        else:
            job._publish()

    def forget(self, function: Function) -> None:
        """Have the workers drop a function whose job is over, under the lock."""
        for worker in self.workers:
            if worker.known.get(function.slot) is function:
                del worker.known[function.slot]
                self.crew.forget(worker, function)

    def job_over(self, job: Job) -> None:
        """Called by a job that is complete, under the lock."""
        self.jobs.pop(job._job, None)
        hooks = job._hooks
        if hooks:
            self.urgent -= 1
            for hook in hooks:
                self.callbacks.append((hook, job))
            job._hooks = None
        if isinstance(job, IMapIterator):
            if job in self._inputs:
                self._inputs = [j for j in self._inputs if j is not job]
            gate = self._feeders.get(job)
            if gate is not None and gate.locked():
                gate.release()
        self.job_progress(job)

    def job_progress(self, job: Any) -> None:
        """Wake who waits for this job."""
        leader = self._guard.leader
        if leader and leader != self._guard.owner:
            # Maybe it is what the leader waits for, and no worker will ring for it any more.
            self.hub.ring_leader()
        if self._followers:
            for waited, lock in self._followers:
                if waited is job and lock.locked():
                    lock.release()
            self._followers = [f for f in self._followers if f[0] is not job]
        if self._watchers:
            for watcher in self._watchers.pop(job, ()):
                self.urgent -= 1
                self.callbacks.append((watcher, job))

    def report(self, progress: Any, done: int, total: int | None) -> None:
        """Tell how far a job is, in the pool's thread. The lock is held."""
        self.callbacks.append((lambda _: progress(done, total), None))

    def _failed(self, batch: Batch, first: int, error: BaseException, final: bool = False) -> None:
        job = batch.job if batch.jobs is None else batch.jobs[first]
        index = batch.base + first if batch.jobs is None else 0
        if job is None or job._sealed:
            return
        policy = job._policy
        if policy is not None and policy.retries:
            key = (job._job, index)
            attempt = self._attempts.get(key, 1)
            if not final and isinstance(error, policy.retry_on):
                if attempt <= policy.retries and self.state != TERMINATE:
                    self._attempts[key] = attempt + 1
                    again = Leftover(batch, first, 1, alone=True)
                    delay = policy.delay(attempt)
                    if delay:
                        heappush(self._delayed, (time.monotonic() + delay, self.next_job(), again))
                        self.crew.wake()
                    else:
                        self._queue.append(again)
                    return
                error = self.deaths.poison(error, attempt)
            self._attempts.pop(key, None)
        job._fail(index, error)

    def attempt(self, batch: Batch, first: int) -> int:
        """Return the number of the attempt at a task of a batch."""
        job: Any = batch.job if batch.jobs is None else batch.jobs[first]
        return self._attempts.get((job._job, batch.base + first if batch.jobs is None else 0), 1)

    def broken_error(self) -> BaseException:
        """Return a fresh exception that says why the pool is broken."""
        reason = self.broken
        if isinstance(reason, BrokenPoolError):
            return reason
        error = BrokenPoolError(f"the pool is broken: {safe_repr(reason)}")
        error.__cause__ = reason
        return error

    def _break_all(self) -> None:
        self._queue.clear()
        self._delayed.clear()
        for job in list(self.jobs.values()):
            job._abort(self.broken_error())
        self.hub.ring_leader()

    def break_with(self, error: BaseException) -> None:
        """No worker can be had: fail everything that is queued, now and later. The lock is held."""
        if self.broken is None:
            self.broken = error
        self._break_all()

    def _tidy(self) -> None:
        # Whom the workers have to wake, and whether the pool can end.
        queue = self._queue
        self.hub.refill(1 if queue else 0)
        if self.urgent:
            mode = WAKE_ALWAYS
        elif queue or self._in_flight > len(self.workers) or self.state != RUN:
            mode = WAKE_IDLE
        else:
            mode = WAKE_NEVER
        if self.hub.supervise(mode) and self.hub.any(self.channels):
            # This result came while nobody had asked to be woken for it.
            self.crew.wake()
        if self.state == CLOSE and not self.jobs and not self.crew.stopping:
            self.crew.stop_all(self)

    def run_callbacks(self) -> None:
        """Call what is due; called by the pool's thread without the lock."""
        while self.callbacks:
            try:
                function, value = self.callbacks.popleft()
            except IndexError:
                return
            try:
                function(value)
            except BaseException as error:  # sys.exit() in a callback would end the pool's thread
                unraisable(function, error)
            function = value = None  # type: ignore[assignment]
