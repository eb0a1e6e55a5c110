"""Processes behind two queues that a subclass of Pool has made: the crew of joblib's and torch's pools.

All processes share the queues, so nobody knows which of them holds which task: to the engine they are one worker with
many hands.  What a process that dies had taken is lost, as it is in CPython; the process is replaced.
"""

from __future__ import annotations

import time
from _thread import allocate_lock, start_new_thread

from ._crew import Crew, Worker
from ._crew_threads import ThreadHub
from ._queue_worker import call_chunk, call_star_chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._engine import Engine
    from ._functions import Function

_LOOK_EVERY = 0.1
"""Seconds between looks at the processes."""

_TERM_GRACE = 1.0


class _QueueChannel:
    """Both queues, as a channel."""

    def __init__(self, hub: ThreadHub, pool: Any) -> None:
        from collections import deque

        self.hub = hub
        self.pool = pool
        self.results: Any = deque()
        self.functions: dict[int, Function] = {}
        self.done = 0

    def send(
        self, batch: int, slot: int, mode: int, items: list[Any], start: int, stop: int, dumps: object
    ) -> tuple[int, int]:
        function = self.functions[slot].function
        # One at a time: a task that cannot be pickled then fails alone.
        item = items[start]
        task: tuple[Any, ...]
        if mode == 0:
            task = (function, (item,), {})
        elif mode == 1:
            task = (function, tuple(item), {})
        elif mode == 2:
            task = (function, item[0], item[1])
        else:
            task = (call_chunk if mode == 3 else call_star_chunk, (function, item), {})
        self.pool._quick_put((batch, 0, *task))
        return 1, batch

    def cut(self, position: int, limit: int) -> tuple[int, int]:
        return 1, 1

    def ready(self) -> bool:
        return bool(self.results)

    def times(self) -> tuple[int, int]:
        return 0, 0

    def state(self) -> tuple[int, int, int, int, int, int, int]:
        return 0, 0, self.done, 0, 0, 0, 0

    def read(self) -> None:
        """Body of the thread that reads results, until None comes."""
        while True:
            try:
                found = self.pool._quick_get()
            except (EOFError, OSError):
                return
            except Exception as error:  # one that cannot be unpickled; whose it is cannot be known
                from ._report import unraisable

                unraisable(self.pool._quick_get, error)
                continue
            if found is None:
                return
            job, index, (success, value) = found
            self.done += 1
            self.results.append((0 if success else 1, job, index, value))
            self.hub.ring()


class _Hands(Worker):
    """All processes together."""

    def __init__(self, channel: _QueueChannel, crew: QueueCrew) -> None:
        super().__init__(1, channel, None)
        self._crew = crew
        self.process: Any = None

    def room(self) -> bool:
        return self.sent < 2 * self._crew.wanted


class QueueCrew(Crew):
    """Worker processes that share two queues."""

    pickling = False

    def __init__(self, wanted: int, pool: Any) -> None:
        super().__init__(wanted)
        self.hub = ThreadHub()
        # The pool's queues and processes live here, so that neither thread keeps the pool itself.
        self.holder = pool
        self.processes: list[Any] = []
        self._channel: _QueueChannel | None = None
        self._reading = allocate_lock()

    def start(self, engine: Engine) -> None:
        if self._channel is None:
            self.holder.repopulate()
            self._channel = channel = _QueueChannel(self.hub, self.holder)
            engine.workers = [_Hands(channel, self)]
            engine.channels = [channel]
            start_new_thread(channel.read, ())

    def teach(self, worker: Worker, function: Function) -> bool:
        worker.channel.functions[function.slot] = function
        return True

    def forget(self, worker: Worker, function: Function) -> None:
        worker.channel.functions.pop(function.slot, None)

    def tend(self, engine: Engine) -> None:
        for process in [p for p in self.processes if p.exitcode is not None]:
            process.join()
            self.processes.remove(process)
        if self.stopping:
            if not self.processes:
                engine.workers, engine.channels = [], []
        elif len(self.processes) < self.wanted:
            self.holder.repopulate()

    def stop_all(self, engine: Engine) -> None:
        self.stopping = True
        self.departed = list(self.processes)
        for _ in self.processes:
            self.holder._quick_put(None)
        self.wake()

    def kill_all(self, engine: Engine) -> None:
        self.departed = list(self.processes) or self.departed
        for process in self.processes:
            process.terminate()
        deadline = time.monotonic() + _TERM_GRACE
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()

    def signal_all(self, engine: Engine) -> None:
        for process in list(self.processes):
            if process.exitcode is None:
                process.terminate()

    def dispose(self) -> None:
        # The reader sleeps in the queue's pipe; a last message ends it.
        try:
            self.holder.end_reader()
        except Exception:
            pass

    def wake(self) -> None:
        self.hub.supervisor.set()

    def wait(self, engine: Engine, timeout: float | None) -> list[Worker]:
        self.hub.supervisor.wait(_LOOK_EVERY if timeout is None else min(timeout, _LOOK_EVERY))
        return []


class QueueHolder:
    """The queues of a pool whose class overrides ``_setup_queues()``."""

    def __init__(self, pool: Any) -> None:
        from _weakref import ref

        pool._setup_queues()
        self._inqueue = pool._inqueue
        self._outqueue = pool._outqueue
        self._put: Callable[[Any], object] = pool._quick_put
        self._quick_get: Callable[[], Any] = pool._quick_get
        self._lock = allocate_lock()
        self._pool = ref(pool)

    def _quick_put(self, task: Any) -> None:
        with self._lock:
            self._put(task)

    def repopulate(self) -> None:
        """Let the pool's class start the processes that are missing."""
        pool = self._pool()
        if pool is not None:
            pool._repopulate_pool()

    def end_reader(self) -> None:
        """Make the thread that reads results end."""
        self._outqueue.put(None)
