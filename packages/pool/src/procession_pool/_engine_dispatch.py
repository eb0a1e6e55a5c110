"""Giving tasks to workers: how many, to whom, and taking them back."""

from __future__ import annotations

import time
from heapq import heappop, heappush

from ._batches import Batch, Leftover, describe_batch
from ._engine_jobs import EngineJobs
from ._engine_state import MOST_IN_BATCH, SLICE, SMALL_SLICE
from ._results import AsyncResult, MapResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._crew import Worker
    from ._functions import Function
    from ._results import AsyncResult, MapResult


_NO_ROOM: Any = object()
"""Instead of a batch: this worker cannot take the head of the queue now."""


class EngineDispatch(EngineJobs):
    """The engine's part that decides which worker gets which tasks."""

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
                # The pool's thread sleeps on what the workers were when it went to sleep.
                self.crew.wake()
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
            return batch is not _NO_ROOM
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
        first: Any = left.job or (left.jobs[0] if left.jobs else None)
        policy = first._policy
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
        except BaseException as error:
            del worker.batches[serial]
            self._failed(batch, 0, error, final=True)
            return 1
        if not sent:
            del worker.batches[serial]
            return 0
        batch.weight = worker.batch_sent(serial)
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

    def _batch_over(self, worker: Worker, batch: Batch) -> None:
        worker.batches.pop(batch.id, None)
        worker.batch_done(batch.id)
        busy, done = worker.channel.times()
        if done > worker.last_done:
            sample = (busy - worker.last_busy) / (done - worker.last_done) * 1e-9
            worker.last_busy, worker.last_done = busy, done
            if batch.count == 1 and sample > worker.slowest:
                worker.slowest, worker.slowest_task = sample, describe_batch(batch)
            function = batch.function
            average = function.average
            function.average = sample if average is None else 0.6 * average + 0.4 * sample
        if self.crew.surplus and not worker.batches:
            self.crew.wake()
        if worker.quota is not None and worker.quota <= 0 and not worker.batches:
            self.crew.retire(self, worker)

    def _due_retries(self) -> None:
        now = time.monotonic()
        while self._delayed and self._delayed[0][0] <= now:
            self._queue.append(heappop(self._delayed)[2])
