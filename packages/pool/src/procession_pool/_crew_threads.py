"""Threads as workers: the crew of ThreadPool. Tasks and results stay objects; nothing is pickled."""

from __future__ import annotations

import time
from _thread import allocate_lock
from collections import deque

from procession_core import NotSupportedError

from ._crew import Crew, Worker
from ._errors import safe_repr
from ._guard import unshielded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._engine import Engine
    from ._functions import Function


class _Signal:
    """A wake-up that is not lost: set() before wait() lets wait() return at once."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:  # set already
            pass

    def wait(self, timeout: float) -> None:
        self._lock.acquire(True, timeout)

    def wait_unshielded(self, timeout: float) -> None:
        unshielded(self._lock.acquire, timeout)


class ThreadHub:
    """The hub of channels inside one process."""

    def __init__(self) -> None:
        self.leader = _Signal()
        self.supervisor = _Signal()
        self.leading = False
        self.mode = 0

    def ring(self) -> None:
        if self.leading:
            self.leader.set()
        elif self.mode:
            self.supervisor.set()

    def lead(self, on: bool) -> None:
        self.leading = on

    def supervise(self, mode: int) -> bool:
        before, self.mode = self.mode, mode
        return mode > before

    def refill(self, on: int) -> None:
        pass

    def ring_leader(self) -> None:
        self.leader.set()

    def any(self, channels: list[ThreadChannel]) -> bool:
        return any(channel.results for channel in channels)

    def wait(self, channels: list[ThreadChannel], mode: int, timeout: float) -> bool:
        if self.any(channels):
            return True
        self.leader.wait_unshielded(timeout)
        return self.any(channels)

    def drain(
        self, channels: list[ThreadChannel], loads: object, most: int
    ) -> list[tuple[int, int, int, int, list[Any]]]:
        runs = []
        for at, channel in enumerate(channels):
            results = channel.results
            while results and most > 0:
                status, batch, index, value = results.popleft()
                runs.append((at, status, batch, index, [value]))
                most -= 1
        return runs


class ThreadChannel:
    """What is handed to one thread and comes back from it; deques are safe for threads."""

    def __init__(self, hub: ThreadHub) -> None:
        self.hub = hub
        self.results: deque[tuple[int, int, int, Any]] = deque()
        self.batches: deque[list[Any]] = deque()
        self.bell = _Signal()
        self.functions: dict[int, Function] = {}
        self.busy = 0
        self.done = 0
        self.started = 0
        self.stop = False

    def send(
        self, batch: int, slot: int, mode: int, items: list[Any], start: int, stop: int, dumps: object
    ) -> tuple[int, int]:
        # The claim is one append or pop of a list of indices, which the GIL or the list's own lock makes atomic.
        tasks = deque(enumerate(items[start:stop]))
        self.batches.append([batch, self.functions[slot], mode, tasks, stop - start])
        self.bell.set()
        return stop - start, batch

    def cut(self, position: int, limit: int) -> tuple[int, int] | None:
        for entry in list(self.batches):
            if entry[0] == position:
                tasks = entry[3]
                end = entry[4]
                while True:
                    # Nothing is taken out that stays: the thread would take the batch for finished meanwhile.
                    try:
                        index = tasks[-1][0]
                        if index < limit:
                            return tasks[0][0], index + 1
                        tasks.pop()
                    except IndexError:  # the thread has the rest
                        return end, end
                    end = index
        return None

    def ready(self) -> bool:
        return bool(self.results)

    def times(self) -> tuple[int, int]:
        return self.busy, self.done

    def state(self) -> tuple[int, int, int, int, int, int, int]:
        return self.started, self.busy, self.done, 0, 0, 0, 0


class ThreadWorker(Worker):
    """A thread."""

    prefetch_below = 0.0

    def __init__(self, number: int, channel: ThreadChannel, quota: int | None) -> None:
        super().__init__(number, channel, quota)
        self.thread: Any = None


def run_thread(crew: ThreadCrew, channel: ThreadChannel) -> None:
    """Body of a worker thread."""
    hub = channel.hub
    results = channel.results
    if crew.initializer is not None:
        try:
            crew.initializer(*crew.initargs)
        except BaseException as error:
            results.append((3, 0, 0, ("I", error)))
            hub.supervisor.set()
            hub.leader.set()
            return
    results.append((3, 0, 0, ("R", None)))
    batches = channel.batches
    while True:
        if not batches:
            if channel.stop:
                return
            hub.ring()
            channel.bell.wait(-1)
            continue
        batch, function, mode, tasks, _ = batches[0]
        call = function.function
        while True:
            try:
                index, item = tasks.popleft()
            except IndexError:
                break
            channel.started = begun = time.monotonic_ns()
            try:
                if mode == 0:
                    value = call(item)
                elif mode == 1:
                    value = call(*item)
                elif mode == 2:
                    value = call(*item[0], **item[1])
                elif mode == 3:
                    value = [call(i) for i in item]
                else:
                    value = [call(*i) for i in item]
                status = 0
            except BaseException as error:
                value = error
                status = 1
            channel.busy += time.monotonic_ns() - begun
            channel.done += 1
            channel.started = 0
            results.append((status, batch, index, value))
            item = value = None
            if channel.stop:
                break
            hub.ring()
        batches.popleft()
        function = call = tasks = None


class ThreadCrew(Crew):
    """Worker threads."""

    pickling = False

    def __init__(
        self,
        wanted: int,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        quota: int | None,
    ) -> None:
        super().__init__(wanted)
        self.hub = ThreadHub()
        self.initializer = initializer
        self.initargs = initargs
        self.quota = quota
        self.serial = 0

    def start(self, engine: Engine) -> None:
        from threading import Thread

        while len(engine.workers) < self.wanted:
            self.serial += 1
            channel = ThreadChannel(self.hub)
            worker = ThreadWorker(self.serial, channel, self.quota)
            thread = Thread(
                target=run_thread, args=(self, channel), name=f"ThreadPoolWorker-{self.serial}", daemon=True
            )
            thread.exitcode = None  # type: ignore[attr-defined]
            thread.pid = None  # type: ignore[attr-defined]
            worker.thread = worker.process = thread
            thread.start()
            engine.workers = [*engine.workers, worker]
            engine.channels = [*engine.channels, channel]

    def teach(self, worker: Worker, function: Function) -> bool:
        worker.channel.functions[function.slot] = function
        return True

    def forget(self, worker: Worker, function: Function) -> None:
        worker.channel.functions.pop(function.slot, None)

    def message(self, engine: Engine, worker: Worker, data: Any) -> None:
        kind, value = data
        worker.ready = True
        if kind == "I":
            engine.break_with(value)

    def retire(self, engine: Engine, worker: Worker) -> None:
        worker.leaving = True
        worker.channel.stop = True
        worker.channel.bell.set()
        engine.worker_gone(worker)

    def replace(self, engine: Engine, worker: Worker, expected: bool) -> None:
        if not self.stopping:
            self.start(engine)

    def stop_all(self, engine: Engine) -> None:
        self.stopping = True
        for worker in engine.workers:
            worker.channel.stop = True
            worker.channel.bell.set()
        self.wake()

    def end(self, worker: Worker, reason: str) -> None:
        # A thread cannot be killed; what it runs is no longer waited for.
        worker.end_reason = reason

    def tend(self, engine: Engine) -> None:
        if self.stopping:
            for worker in engine.workers:
                worker.thread.join()  # type: ignore[attr-defined]
            for worker in engine.workers:
                engine._pump_one(worker)
            engine.workers, engine.channels = [], []
        elif len(engine.workers) > self.wanted:
            for worker in [w for w in engine.workers if not w.batches][: len(engine.workers) - self.wanted]:
                self.retire(engine, worker)
            self.surplus = len(engine.workers) > self.wanted

    def kill_all(self, engine: Engine) -> None:
        self.stopping = True
        for worker in engine.workers:
            worker.channel.stop = True
            for entry in list(worker.channel.batches):
                entry[3].clear()
            worker.channel.bell.set()

    def wake(self) -> None:
        self.hub.supervisor.set()

    def wait(self, engine: Engine, timeout: float | None) -> list[Worker]:
        self.hub.supervisor.wait(-1 if timeout is None else timeout)
        return []


def refuse(what: str) -> NotSupportedError:
    """Return the error for what threads cannot do."""
    return NotSupportedError(
        f"{what} needs processes, since a thread cannot be stopped from outside; use Pool"
    )


__all__ = ("ThreadCrew", "refuse", "safe_repr")
