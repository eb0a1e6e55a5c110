"""The engine of every pool: which task is where, and what happens when a worker dies.

One engine drives workers of any kind (processes over native or portable channels, threads); the kinds differ in their
crew (``_crew_*.py``).  All state is guarded by one lock, which is never held while foreign code runs, except that
results are unpickled under it.  docs/internals/pool.md explains who wakes whom.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock, get_ident
from collections import deque
from heapq import heappop, heappush

from procession_core import WorkerDiedError, debug, remaining

from ._deaths import DeathRecords
from ._errors import BrokenPoolError, CancelledError
from ._functions import FunctionTable
from ._iterators import Failure, IMapIterator, feed
from ._report import unraisable
from ._results import AsyncResult, Job, MapResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._crew import Crew, Worker
    from ._functions import Function

RUN = "RUN"
CLOSE = "CLOSE"
TERMINATE = "TERMINATE"

WAKE_NEVER, WAKE_IDLE, WAKE_ALWAYS = 0, 1, 2

SLICE = 0.0004
"""Tiny tasks are sent in batches of about so many seconds of work."""
SMALL_SLICE = 0.0001
"""No batch is made smaller than this for the sake of fair shares."""
MOST_IN_BATCH = 512
PREFETCH_BELOW = 0.005
"""Only for tasks shorter than this a second batch waits at the worker."""
LAZY_WAIT = 0.0005
"""A waiting caller lets results gather for so long before it asks to be woken for each one."""
DRAIN_MOST = 20000
QUICK = 0.00005
GATHER = 64


class Batch:
    """Tasks that one worker was given in one message."""

    __slots__ = (
        "base",
        "count",
        "function",
        "id",
        "items",
        "job",
        "jobs",
        "mode",
        "position",
        "received",
        "since",
        "start",
        "worker",
    )

    def __init__(self, id: int, job: Job | None, jobs: list[AsyncResult] | None, function: Function, mode: int,
                 items: list[Any], start: int, count: int, base: int) -> None:  # fmt: skip
        self.id = id
        self.job = job
        self.jobs = jobs
        self.function = function
        self.mode = mode
        self.items = items
        self.start = start
        self.count = count
        self.base = base
        self.position = 0
        self.received = 0
        self.since = 0.0
        self.worker: Worker | None = None


class Leftover:
    """Tasks that came back unbegun, or that are to be tried again: at the head of the queue."""

    __slots__ = ("alone", "base", "count", "function", "items", "job", "jobs", "mode", "start")

    def __init__(self, batch: Batch, first: int, count: int, alone: bool = False) -> None:
        self.job = batch.job
        self.jobs = batch.jobs[first : first + count] if batch.jobs is not None else None
        self.function = batch.function
        self.mode = batch.mode
        self.items = batch.items
        self.start = batch.start + first
        self.count = count
        self.base = batch.base + first
        self.alone = alone

    def live(self) -> bool:
        if self.jobs is not None:
            return any(not job._sealed for job in self.jobs)
        return self.job is not None and not self.job._sealed


class Engine:
    """Tasks, workers and results of one pool."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
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
        self.on_change: Callable[[], object] | None = None  # the pool starts its thread with it, lazily
        self._queue: deque[Any] = deque()
        self._lock = allocate_lock()
        self._owner = 0
        self._again = False
        self._lead = allocate_lock()
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

    # ---- the lock

    def enter(self) -> None:
        """Take the engine's lock."""
        self._lock.acquire()
        self._owner = get_ident()

    def leave(self) -> None:
        """Give it back; wakes the pool's thread if there is something only it does."""
        self._owner = 0
        self._lock.release()
        if self.callbacks:
            self.crew.wake()

    def mine(self) -> bool:
        """Whether this thread holds the lock already: a finaliser ran inside the engine."""
        return self._owner == get_ident()

    def next_job(self) -> int:
        """Return a new job number."""
        self._job_serial += 1
        return self._job_serial

    # ---- submitting

    def submit(self, job: Job) -> None:
        """Queue a job and give its tasks to workers that have room."""
        self.jobs[job._job] = job
        if job._callback is not None or job._error_callback is not None:
            self.urgent += 1
        self._queue.append(job)
        if isinstance(job, IMapIterator):
            self._inputs.append(job)
            if not job._inline:
                self._start_feeder(job)
        if self.mine():
            self._again = True
            return
        self.enter()
        try:
            self._dispatch()
        finally:
            self.leave()

    def submit_call(self, job: AsyncResult) -> None:
        """Queue one call; as ``submit()``, with less to look at."""
        self.jobs[job._job] = job
        if job._callback is not None or job._error_callback is not None:
            self.urgent += 1
        queue = self._queue
        queue.append(job)
        if self._owner and self.mine():
            self._again = True
            return
        # Calls of a function known to be quick gather here and go out in batches: to wake a worker costs more
        # than they do.  Who waits, the pool's thread, or every so-and-so-many-th call sends them.
        function = job._function
        if function is not None and function.average is not None and function.average < QUICK:
            waiting = len(queue)
            if waiting % GATHER and self.state == RUN and job._policy is None:
                if not self._soon:
                    self._soon = True
                    self.crew.wake()
                return
        self.enter()
        try:
            self._pump()
        finally:
            self.leave()

    def run_now(self, job: AsyncResult) -> Any:
        """Queue one call and wait for it; the caller collects the result itself if nobody else does."""
        if self._lead.acquire(False):
            hub = self.hub
            try:
                hub.lead(True)
                self.jobs[job._job] = job
                self._queue.append(job)
                self._lead_until(job, None, None)
            finally:
                hub.lead(False)
                self._lead.release()
                self._hand_over()
        else:
            self.submit_call(job)
        return job.get()

    def submit_failed(self, job: Job, error: BaseException) -> None:
        """A job that cannot be sent: it fails at once."""
        self._submit_over(job, lambda: job._abort(error))

    def submit_done(self, job: Job, value: Any) -> None:
        """A job that has nothing to do."""
        self._submit_over(job, lambda: job._finish(True, value))

    def _submit_over(self, job: Job, end: Callable[[], object]) -> None:
        self.jobs[job._job] = job
        if job._callback is not None or job._error_callback is not None:
            self.urgent += 1
        self.enter()
        try:
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

    # ---- the pump

    def pump(self) -> None:
        """Collect what the workers have sent, deliver it, and give them more. Never blocks for long."""
        if self._owner and self.mine():
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
            error = self.crew.error(values[0]) if status == 1 else _undecodable(values[0])
            self._failed(batch, first, error)
        elif batch.jobs is None:
            if self._attempts:
                self._attempts.pop((batch.job._job, batch.base + first), None)
            batch.job._deliver(batch.base + first, values)
        else:
            jobs = batch.jobs
            if count == 1:
                jobs[first]._deliver(0, values)
            else:
                over = self.jobs
                for job, value in zip(jobs[first : first + count], values, strict=True):
                    if job._sealed:
                        continue
                    if self._followers or not job._plain():
                        job._deliver(0, [value])
                        continue
                    # AsyncResult._finish(), spelt out for the many calls of a batch
                    job._value = value
                    job._success = job._sealed = job._over = True
                    job._pool = job._function = job._arg = None
                    over.pop(job._job, None)
        if batch.received >= batch.count:
            self._batch_over(worker, batch)

    def _batch_over(self, worker: Worker, batch: Batch) -> None:
        worker.batches.pop(batch.id, None)
        worker.batch_done(batch.id)
        busy, done = worker.channel.times()
        if done > worker.last_done:
            sample = (busy - worker.last_busy) / (done - worker.last_done) * 1e-9
            worker.last_busy, worker.last_done = busy, done
            function = batch.function
            average = function.average
            function.average = sample if average is None else 0.6 * average + 0.4 * sample
        if worker.quota is not None and worker.quota <= 0 and not worker.batches:
            self.crew.retire(self, worker)

    # ---- giving out tasks

    def _dispatch(self) -> None:
        for job in self._inputs:
            if job._inline and job._source is not None and job._wants_input():
                was_empty = job._exhausted()
                job._read()
                if was_empty and not job._exhausted() and job not in self._queue:
                    self._queue.append(job)
            elif job in self._feeders:
                gate = self._feeders[job]
                if gate.locked() and job._allowed() > 0:
                    gate.release()
        if self._delayed:
            self._due_retries()
        queue = self._queue
        if queue and self.broken is not None:
            self._break_all()
        if queue:
            if self.crew.shrunk:
                self.crew.start(self)
            progress = True
            while queue and progress:
                progress = False
                for worker in self.workers:
                    if not queue:
                        break
                    if worker.room() and self._give(worker):
                        progress = True
        if not queue and self._in_flight > 1:
            self._rebalance()
        self._tidy()

    def _give(self, worker: Worker) -> bool:
        # Sends one batch; False if nothing was sent.
        queue = self._queue
        while queue:
            head = queue[0]
            kind = type(head)
            if kind is AsyncResult:
                batch = self._from_calls(worker)
            elif kind is Leftover:
                batch = self._from_leftover(worker, head)
            else:
                batch = self._from_job(worker, head)
            if batch is None:
                continue
            if batch is _NO_ROOM:
                return False
            return True
        return False

    def _size(self, function: Function, left: int) -> int:
        average = function.average
        if average is None:
            return 1
        average = max(average, 1e-7)
        size = min(int(SLICE / average), MOST_IN_BATCH, -(-left // (2 * len(self.workers))))
        return max(1, size, min(left, int(SMALL_SLICE / average), MOST_IN_BATCH))

    def _from_calls(self, worker: Worker) -> Any:
        queue = self._queue
        first: AsyncResult = queue[0]
        if first._sealed:
            queue.popleft()
            return None
        function = first._function
        policy = first._policy
        if function is None:
            queue.popleft()
            return None
        if policy is not None and policy.special:
            if policy.timeout is not None and worker.batches:
                return _NO_ROOM
            size = 1
        else:
            size = self._size(function, len(queue))
        if size == 1:
            jobs = [first]
        else:
            jobs = []
            mode = first._kind
            for job in queue:
                if type(job) is not AsyncResult or job._function is not function or job._kind != mode:
                    break
                if job._policy is not policy or job._sealed:
                    break
                jobs.append(job)
                if len(jobs) == size:
                    break
        batch = Batch(0, None, jobs, function, first._kind, [job._arg for job in jobs], 0, len(jobs), 0)
        sent = self._send(worker, batch, policy)
        if not sent:
            return _NO_ROOM
        for _ in range(sent):
            queue.popleft()
        return batch

    def _from_leftover(self, worker: Worker, left: Leftover) -> Any:
        queue = self._queue
        if not left.live():
            queue.popleft()
            return None
        policy = (left.job or left.jobs[0])._policy
        size = (
            1
            if left.alone or (policy is not None and policy.special)
            else min(left.count, self._size(left.function, left.count))
        )
        if policy is not None and policy.timeout is not None and worker.batches:
            return _NO_ROOM
        jobs = left.jobs[:size] if left.jobs is not None else None
        batch = Batch(0, left.job, jobs, left.function, left.mode, left.items, left.start, size, left.base)
        sent = self._send(worker, batch, policy)
        if not sent:
            return _NO_ROOM
        left.start += sent
        left.base += sent
        left.count -= sent
        if left.jobs is not None:
            del left.jobs[:sent]
        if not left.count:
            queue.remove(left)
        return batch

    def _from_job(self, worker: Worker, job: Any) -> Any:
        queue = self._queue
        if job._sealed or job._exhausted():
            queue.popleft()
            return None
        policy = job._policy
        function = job._function
        if policy is not None and policy.special:
            if policy.timeout is not None and worker.batches:
                return _NO_ROOM
            size = 1
        else:
            size = self._size(function, job._left if isinstance(job, MapResult) else len(job._items))
        cursor = job._cursor
        base = cursor if isinstance(job, MapResult) else job._base + cursor
        items, start, stop = job._take(size)
        mode = job._kind if job._chunksize == 1 else job._kind + 3
        batch = Batch(0, job, None, function, mode, items, start, stop - start, base)
        sent = self._send(worker, batch, policy)
        job._cursor = cursor + sent
        if not sent:
            return _NO_ROOM
        if job._exhausted() and queue and queue[0] is job:
            queue.popleft()
        return batch

    def _send(self, worker: Worker, batch: Batch, policy: Any) -> int:
        # Returns how many tasks of the batch are dealt with: sent, or failed because they cannot be pickled.
        if worker.quota is not None:
            batch.count = min(batch.count, worker.quota)
        function = batch.function
        channel = worker.channel
        if worker.known.get(function.slot) is not function:
            if not self.crew.teach(worker, function):
                return 0
            worker.known[function.slot] = function
        self._batch_serial = serial = self._batch_serial + 1 & 0xFFFFFFFF
        batch.id = serial
        worker.batches[serial] = batch  # before it is sent: the answer may be quick
        batch.worker = worker
        try:
            sent, position = channel.send(
                serial,
                function.slot,
                batch.mode,
                batch.items,
                batch.start,
                batch.start + batch.count,
                worker.dumps,
            )
        except Exception as error:
            del worker.batches[serial]
            self._failed(batch, 0, error, final=True)
            return 1
        if not sent:
            del worker.batches[serial]
            return 0
        worker.batch_sent(serial)
        if batch.jobs is not None and sent < batch.count:
            del batch.jobs[sent:]
        batch.count = sent
        batch.position = position
        worker.sent += sent
        self._in_flight += sent
        if worker.quota is not None:
            worker.quota -= sent
        if policy is not None and policy.timeout is not None:
            batch.since = time.monotonic()
            heappush(self._deadlines, (batch.since + policy.timeout, serial, batch))
            self.crew.wake()
        return sent  # type: ignore[no-any-return]

    def _rebalance(self) -> None:
        # Workers without work take what others have not begun.
        idle = [w for w in self.workers if not w.sent and w.room()]
        if not idle:
            return
        victims = sorted((w for w in self.workers if w.sent > 1), key=lambda w: -w.sent)
        for victim in victims:
            if not idle:
                return
            for batch in list(victim.batches.values())[::-1]:
                cut = victim.channel.cut(batch.position, 0xFFFFFFFF)
                if cut is None:
                    continue
                next, limit = cut
                free = min(limit, batch.count) - next
                # Leave it what it runs in one slice anyway.
                average = batch.function.average
                if average is not None and free * average < SMALL_SLICE:
                    continue
                self._take_back(victim, batch, next + free // 2)
                if self._queue:
                    break
            while idle and self._queue:
                if not self._give(idle.pop()):
                    break

    def _take_back(self, worker: Worker, batch: Batch, keep: int) -> None:
        cut = worker.channel.cut(batch.position, keep)
        if cut is None:
            return
        _, limit = cut
        back = batch.count - limit
        if back <= 0:
            return
        self._queue.appendleft(Leftover(batch, limit, back))
        batch.count = limit
        worker.sent -= back
        self._in_flight -= back
        if worker.quota is not None:
            worker.quota += back
        if batch.jobs is not None:
            del batch.jobs[limit:]
        if batch.received >= batch.count:
            self._batch_over(worker, batch)

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
        self.hub.supervise(mode)
        if self.state == CLOSE and not self.jobs and not self.crew.stopping:
            self.crew.stop_all(self)

    # ---- failures, retries, deaths

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
        job = batch.job if batch.jobs is None else batch.jobs[first]
        return self._attempts.get((job._job, batch.base + first if batch.jobs is None else 0), 1)

    def _due_retries(self) -> None:
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self._queue.append(heappop(self._delayed)[2])

    def worker_gone(self, worker: Worker, replace: bool = True) -> None:
        """A worker has ended: fail what it ran, take back the rest, replace it. The lock is held."""
        if worker.gone:
            return
        self._pump_one(worker)
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
                    description = job._describe(batch.base + running if batch.jobs is None else 0)
                    error = self.deaths.describe(worker, description, self.attempt(batch, running))
                    self._failed(batch, running, error)
        worker.batches.clear()
        if not expected:
            debug("worker %s died: %s", worker.pid, worker.exitcode)
        if replace and self.state != TERMINATE and self.broken is None:
            self.crew.replace(self, worker, expected)
        self._dispatch()
        self.hub.ring_leader()

    def _pump_one(self, worker: Worker) -> None:
        # Everything that it has sent counts.
        while worker.channel.ready():
            for _, status, id, first, values in self.hub.drain([worker.channel], self.crew.loads, DRAIN_MOST):
                self._inbox.append((worker, status, id, first, values))
            while self._inbox:
                self._handle(*self._inbox.popleft())

    def break_with(self, error: BaseException) -> None:
        """No worker can be had: fail everything that is queued, now and later. The lock is held."""
        if self.broken is None:
            self.broken = error
        self._break_all()

    def _break_all(self) -> None:
        self._queue.clear()
        self._delayed.clear()
        for job in list(self.jobs.values()):
            job._abort(self.broken_error())
        self.hub.ring_leader()

    def broken_error(self) -> BaseException:
        """Return a fresh exception that says why the pool is broken."""
        reason = self.broken
        if isinstance(reason, BrokenPoolError):
            return reason
        error = BrokenPoolError(f"the pool is broken: its initializer raised {reason!r}")
        error.__cause__ = reason
        return error

    # ---- jobs that end

    def call_back(self, job: Job) -> None:
        """The outcome of a job with a callback is known: it is shown once the callback has run."""
        self.urgent -= 1
        callback = job._callback if job._success else job._error_callback
        job._callback = job._error_callback = None
        if callback is None or self.state == TERMINATE:
            job._publish()
        else:
            self.callbacks.append((_Announcement(self, job, callback), job._value))

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

    def add_hook(self, job: Job, hook: Callable[[Job], object]) -> None:
        """Call ``hook(job)`` in the pool's thread when the job is over; now if it is."""
        self.enter()
        try:
            if not job._over:
                if job._hooks is None:
                    job._hooks = []
                    self.urgent += 1
                job._hooks.append(hook)
                self._pump()
                return
        finally:
            self.leave()
        hook(job)

    def when_ready(self, job: IMapIterator, watcher: Callable[[Any], object]) -> bool:
        """Call ``watcher(job)`` once a result is there; False if one is there already."""
        self.enter()
        try:
            self._pump()
            if job._ready():
                return False
            self._watchers.setdefault(job, []).append(watcher)
            self.urgent += 1
            self._tidy()
            return True
        finally:
            self.leave()

    def cancel(self, job: Job, running: bool) -> bool:
        """Drop a job's tasks; see AsyncResult.cancel()."""
        self.enter()
        try:
            self._pump()
            if job._sealed:
                return False
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

    # ---- waiting

    def wait_for(self, job: Any, timeout: float | None) -> None:
        """Wait until ``job`` is over (an iterator: has a result); collect results meanwhile."""
        ready = job._ready if isinstance(job, IMapIterator) else None
        deadline = None if timeout is None else time.monotonic() + timeout
        while not (job._over if ready is None else ready()):
            if self._lead.acquire(False):
                try:
                    self.hub.lead(True)
                    if self._lead_until(job, ready, deadline):
                        return
                finally:
                    self.hub.lead(False)
                    self._lead.release()
                    self._hand_over()
            elif self._follow(job, ready, deadline):
                return
            if deadline is not None and time.monotonic() >= deadline:
                return

    def _lead_until(self, job: Any, ready: Any, deadline: float | None) -> bool:
        hub = self.hub
        mode = WAKE_ALWAYS
        while True:
            self.pump()
            if job._over if ready is None else ready():
                return True
            left = -1.0
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return True
            if self._in_flight > len(self.workers) and mode != WAKE_ALWAYS:
                wait = LAZY_WAIT if left < 0 else min(LAZY_WAIT, left)
                if not hub.wait(self.channels, WAKE_IDLE, wait):
                    mode = WAKE_ALWAYS
            else:
                if hub.wait(self.channels, WAKE_ALWAYS, left):
                    mode = WAKE_IDLE

    def _follow(self, job: Any, ready: Any, deadline: float | None) -> bool:
        lock = allocate_lock()
        lock.acquire()
        entry = (job, lock)
        self.enter()
        try:
            if job._over if ready is None else ready():
                return True
            if not self._lead.locked():
                return False
            self._followers.append(entry)
        finally:
            self.leave()
        try:
            lock.acquire(True, -1 if deadline is None else max(0.0, deadline - time.monotonic()))
        finally:
            self.enter()
            try:
                if entry in self._followers:
                    self._followers.remove(entry)
            finally:
                self.leave()
        return False

    def _hand_over(self) -> None:
        # The next one leads, or the pool's thread looks after what nobody waits for.
        if self._followers:
            self.enter()
            try:
                if self._followers:
                    lock = self._followers.pop(0)[1]
                    if lock.locked():
                        lock.release()
                    return
            finally:
                self.leave()
        if (self._queue or self.urgent) and self.hub.any(self.channels):
            self.crew.wake()

    # ---- the pool's thread

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

    def run_callbacks(self) -> None:
        """Call what is due; called by the pool's thread without the lock."""
        while self.callbacks:
            try:
                function, value = self.callbacks.popleft()
            except IndexError:
                return
            try:
                function(value)
            except Exception as error:
                unraisable(function, error)
            function = value = None  # type: ignore[assignment]

    # ---- the end

    def close(self) -> None:
        """No new jobs; the workers end when all are done."""
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

    def terminate(self) -> None:
        """End now: every job that is not complete fails, the workers are ended."""
        self.enter()
        try:
            self.state = TERMINATE
            self._queue.clear()
            self._delayed.clear()
            self._deadlines.clear()
            for job in list(self.jobs.values()):
                job._abort(CancelledError("the pool was terminated before this task was done"))
        finally:
            self.leave()
        self.hub.ring_leader()
        self.crew.wake()


class _Announcement:
    """Runs a job's callback, then lets everybody see that the job is over."""

    __slots__ = ("callback", "engine", "job")

    def __init__(self, engine: Engine, job: Job, callback: Callable[[Any], object]) -> None:
        self.engine = engine
        self.job = job
        self.callback = callback

    def __call__(self, value: Any) -> None:
        try:
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


_NO_ROOM: Any = object()


def _undecodable(error: BaseException) -> BaseException:
    error.add_note("raised while the pool unpickled a task's result")
    return error


__all__ = (
    "CLOSE",
    "RUN",
    "TERMINATE",
    "Batch",
    "Engine",
    "Failure",
    "Leftover",
    "WorkerDiedError",
    "remaining",
)
