"""Processes as workers: their start, their replacement, their end."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock
from functools import partial

from procession_core import _logging, default_reducer, runtime
from procession_process import start_all

from ._crew import Crew, Evidence, Worker
from ._errors import BrokenPoolError, format_traceback
from ._payload import ERROR, PICKLED, KeptByTask, Payloads, rebuild_error
from ._transport import NO_MEMORY, open_hub, open_link
from ._worker import EXIT_VALUE, FUNCTION, INIT_FAILED, READY, STOP, Setup, work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._engine import Engine
    from ._functions import Function

_STILLBORN_MOST = 3
"""So many workers in a row that die before they are ready break the pool."""

_STILLBORN_LATER = 10
"""So many times more are needed once a worker has been ready: somebody may kill them from outside."""

_TERM_GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL when a pool is terminated."""


_STACK_GRACE = 0.2
"""Seconds that a worker whose task ran too long has to write its stack."""

_NO_MEMORY_IN_C = ("SIGABRT", "SIGSEGV", "SIGBUS")


class ProcessWorker(Worker):
    """A worker process."""

    def __init__(self, number: int, link: Any, quota: int | None) -> None:
        super().__init__(number, link.channel, quota)
        self.link = link
        self.kept = KeptByTask()
        self.payloads = Payloads(self.kept)
        self.dumps = self.payloads.dumps
        self.batch_sent = self.kept.assign  # type: ignore[method-assign]
        self.batch_done = self.kept.release  # type: ignore[method-assign]
        self.process: Any = None
        self.sentinel = -1
        self.memory_limit: int | None = None

    @property
    def pid(self) -> int | None:  # type: ignore[override]
        return self.process.pid  # type: ignore[no-any-return]

    @property
    def exitcode(self) -> int | None:  # type: ignore[override]
        return self.process.exitcode  # type: ignore[no-any-return]

    def lost(self) -> None:
        told = getattr(self.channel, "lost", None)
        if told is not None:
            told()

    def reap(self) -> None:
        self.process.join()

    def alive(self) -> bool:
        return not self.gone and self.process.is_alive()

    def evidence(self) -> Evidence:
        exitcode = self.process.exitcode
        death = getattr(self.process, "death", None)
        stack = self.link.read_stack() or getattr(death, "stack", None)
        signal_name = getattr(death, "signal_name", None)
        if signal_name is None and exitcode is not None and exitcode < 0:
            import signal

            try:
                signal_name = signal.Signals(-exitcode).name
            except ValueError:
                signal_name = f"signal {-exitcode}"
        out_of_memory = getattr(death, "out_of_memory", None)
        how = f"killed by {signal_name}" if signal_name else f"exit code {exitcode}"
        hint = ""
        limit = self.memory_limit
        if out_of_memory:
            hint = "; the kernel was out of memory: give tasks less data, or the pool fewer workers"
        elif limit is not None and stack == NO_MEMORY.decode():
            stack, out_of_memory = None, True
            hint = (
                f"; it had used up its memory_limit of {limit} bytes: give tasks less data, or workers more"
            )
        elif limit is not None and signal_name in _NO_MEMORY_IN_C:
            hint = f"; with a memory_limit (here {limit} bytes) that is how code in C may end that gets no memory"
        if out_of_memory:
            how += ", out of memory"
        return Evidence(exitcode, signal_name, out_of_memory, stack, how, hint)


def _is_busy(worker: Worker) -> bool:
    return bool(worker.batches)


class ProcessCrew(Crew):
    """Worker processes made by a context's Process. With *lazy* a worker need not run before its first task."""

    def __init__(
        self,
        wanted: int,
        make_process: Callable[..., Any],
        setup: Callable[[int], Setup],
        quota: int | None,
        lazy: bool,
    ) -> None:
        super().__init__(wanted)
        self._make_process = make_process
        self._setup = setup
        self._quota = quota
        self.lazy = lazy
        self.hub = open_hub()
        self._serial = 0
        self._stillborn = 0
        self._ever_ready = False
        self._last_stillborn = ""
        self._payloads = Payloads(lambda refs: None)
        self.loads = self._payloads.loads  # type: ignore[method-assign]
        self._starting = allocate_lock()
        self._idle_since: float | None = None
        self.shrunk = False
        self._doomed: list[tuple[float, ProcessWorker]] = []

    def error(self, value: Any) -> BaseException:
        return rebuild_error(value)

    # ---- starting

    def start(self, engine: Engine) -> None:
        self.shrunk = False
        self._idle_since = None
        missing = self.wanted - len([w for w in engine.workers if not w.leaving])
        if missing <= 0:
            return
        workers = []
        try:
            if self.hub.workers_share:
                workers = [self._prepare_one() for _ in range(missing)]
                self._start_all(workers)
            else:
                for _ in range(missing):
                    workers.append(self._prepare_one())
                    workers[-1].process.start()
                    workers[-1].link.started()
        finally:
            started = []
            for worker in workers:
                if worker.process.pid is None:  # an error of its start is on its way
                    worker.link.close()
                else:
                    worker.sentinel = worker.process.sentinel
                    started.append(worker)
            engine.workers = [*engine.workers, *started]
            engine.channels = [*engine.channels, *[worker.channel for worker in started]]

    def _start_all(self, workers: list[ProcessWorker]) -> None:
        processes = [worker.process for worker in workers]
        if not self.lazy or _logging.logger is not None:
            start_all(processes)
            return
        # The first one starts while the others are forked.
        before = [None, *[partial(worker.link.hold, worker.process.name, STOP) for worker in workers[1:]]]
        try:
            start_all(processes, before)
        finally:
            workers[0].link.hold_none()

    def _prepare_one(self) -> ProcessWorker:
        self._serial += 1
        link = open_link(self.hub)
        worker = ProcessWorker(self._serial, link, self._quota)
        try:
            process = self._make_process(target=work, args=(link, self._setup(self._serial)))
            process.name = process.name.replace("Process", "PoolWorker")
            process.daemon = self.daemon
        except BaseException:
            link.close()
            raise
        worker.process = process
        worker.memory_limit = self.memory_limit
        return worker

    def replace(self, engine: Engine, worker: Worker, expected: bool) -> None:
        if (self.stopping or self.shrunk) and not engine.jobs:
            return
        if not expected and not worker.ready:
            self._stillborn += 1
            most = max(_STILLBORN_MOST, self.wanted)
            if self._stillborn >= (most if not self._ever_ready else _STILLBORN_LATER * most):
                how = worker.evidence().how
                engine.break_with(
                    BrokenPoolError(
                        f"{self._stillborn} workers in a row died before they could take a task (the last: {how}); "
                        "look at what they wrote to stderr: with spawn and forkserver, is the main module's start "
                        "code under `if __name__ == '__main__'`?"
                    )
                )
                return
        try:
            self.start(engine)
        except Exception as error:
            if not engine.workers:
                engine.break_with(error)

    # ---- talking

    def teach(self, worker: Worker, function: Function) -> bool:
        target: Any = worker
        if function.transient:
            tag, data, *_ = target.payloads.dumps(function.function)
            target.kept.assign(-function.slot - 1)
        else:
            tag, data = PICKLED, function.payload
        lesson = (function.slot, function.stateful, function.soft_timeout, tag, data)
        return worker.channel.message(FUNCTION + default_reducer.dumps(lesson))  # type: ignore[no-any-return]

    def forget(self, worker: Worker, function: Function) -> None:
        target: Any = worker
        target.kept.release(-function.slot - 1)

    def message(self, engine: Engine, worker: Worker, data: bytes) -> None:
        kind, rest = data[:1], data[1:]
        value = None
        if rest:
            try:
                value = self.loads(rest[0], rest[1:])
                if rest[0] == ERROR or kind == INIT_FAILED:
                    value = rebuild_error(value)
            except BaseException as error:
                value = error
        if kind == READY:
            worker.ready = True
            self.init_values[worker.number] = value
            self._stillborn = 0
            self._ever_ready = True
        elif kind == EXIT_VALUE:
            self.exit_values.append(value)
        elif kind == INIT_FAILED:
            worker.leaving = True
            engine.break_with(
                value if isinstance(value, BaseException) else RuntimeError("the initializer raised")
            )

    # ---- ending

    def retire(self, engine: Engine, worker: Worker) -> None:
        if worker.leaving:
            return
        worker.leaving = True
        worker.channel.message(STOP)
        self._replace_later = True
        self.start(engine)

    def stop_all(self, engine: Engine) -> None:
        self.stopping = True
        self.departed = [worker.process for worker in engine.workers]
        for worker in engine.workers:
            worker.leaving = True
            worker.channel.message(STOP)
        if not engine.workers:
            self.wake()

    def end(self, worker: Worker, reason: str) -> None:
        worker.end_reason = reason
        process = worker.process
        if worker.timed_out and worker.link.dump_stack(process.pid):  # type: ignore[attr-defined]
            # Give it the time to write its stack.
            self._doomed.append((time.monotonic() + _STACK_GRACE, worker))  # type: ignore[arg-type]
            self.wake()
            return
        process.kill()

    def tend(self, engine: Engine) -> None:
        if self.stopping:
            return
        staying = [worker for worker in engine.workers if not worker.leaving]
        surplus = len(staying) - self.wanted
        if self.idle_timeout is not None and surplus <= 0:
            surplus = self._idle_surplus(engine, staying)
        # The idle ones first; a busy one does what it has in hand, and gets no more.
        for worker in sorted(staying, key=_is_busy)[: max(0, surplus)]:
            worker.leaving = worker.channel.message(STOP)

    def _idle_surplus(self, engine: Engine, staying: list[Worker]) -> int:
        # All but one of the workers end once the pool has had nothing to do for idle_timeout; start() brings
        # them back.
        if engine.jobs:
            self._idle_since = None
            return 0
        now = time.monotonic()
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since < (self.idle_timeout or 0.0) or len(staying) <= 1:
            return 0
        self.shrunk = True
        return len(staying) - 1

    def kill_all(self, engine: Engine) -> None:
        workers: list[Any] = engine.workers
        self.departed = [worker.process for worker in workers] or self.departed
        for worker in workers:
            if worker.process.is_alive():
                worker.process.terminate()
        deadline = time.monotonic() + _TERM_GRACE
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
        for worker in workers:
            worker.process.join()

    def signal_all(self, engine: Engine) -> None:
        """Tell all workers to end at once, without waiting."""
        for worker in engine.workers:
            try:
                worker.process.terminate()
            except (OSError, ValueError):
                pass

    # ---- the pool's thread

    def wake(self) -> None:
        self.hub.wake()

    def wait(self, engine: Engine, timeout: float | None) -> list[Worker]:
        doomed = self._doomed
        if self.idle_timeout is not None and not self.shrunk and not self.stopping:
            timeout = self.idle_timeout if timeout is None else min(timeout, self.idle_timeout)
        if doomed:
            now = time.monotonic()
            for entry in list(doomed):
                if entry[0] <= now or not entry[1].process.is_alive():
                    doomed.remove(entry)
                    entry[1].process.kill()
            if doomed:
                left = max(0.0, doomed[0][0] - now)
                timeout = left if timeout is None else min(timeout, left)
        workers: list[Any] = engine.workers
        sentinels = [worker.sentinel for worker in workers]
        if self.stopping and not engine.jobs and len(workers) > 1:
            # Nobody cares which one ends first: woken once for all of them, this thread is less in their way.
            ended = self.hub.wait_all(engine.channels, sentinels[-1:], timeout)
            if ended:
                ended = self.hub.wait_all(engine.channels, sentinels, 0.0)
        else:
            ended = self.hub.wait_all(engine.channels, sentinels, timeout)
        return [worker for worker in workers if worker.sentinel in ended] if ended else []

    def dispose(self) -> None:
        self.hub.close()


__all__ = ("ProcessCrew", "ProcessWorker", "format_traceback", "os", "runtime")
