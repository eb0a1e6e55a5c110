"""Channels over pipes, for platforms without the C core.

The worker says when it begins a batch and sends each result as it is made, so the pool knows after a death which task
was running: the first one without a result in a batch that has begun.  Tasks that are in the pipe cannot be taken back,
so little is sent ahead.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock, get_ident

from procession_connection import Pipe, wait
from procession_core import default_reducer

from .._guard import shield_off, shield_on, unshielded
from ._stacks import StackFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_AHEAD = 16384
"""A busy worker is sent more only as long as so few bytes wait for it: a pipe that is full would block the pool."""

_RESULT, _BEGUN, _MESSAGE = 0, 1, 2


class PortableHub:
    """Who waits for results. The pool's thread alone reads the pipes; a waiting caller is told by it."""

    workers_share = False  # a worker must not keep the ends of another one's pipes open

    def __init__(self) -> None:
        self._reader, self._writer = Pipe(False)
        self._wake_lock = allocate_lock()
        self._woken = False
        self._reading = 0  # the pool's thread
        self._bell = allocate_lock()
        self._bell.acquire()

    def lead(self, on: bool) -> None:
        """Nothing to tell: the workers always write."""

    def supervise(self, mode: int) -> bool:
        """Nothing to tell: the pool's thread sees every result come."""
        return False

    def refill(self, on: int) -> None:
        """Nothing to tell."""

    def ring_leader(self) -> None:
        """Wake the caller that waits."""
        try:
            self._bell.release()
        except RuntimeError:  # rung already
            pass

    def any(self, channels: list[PortableChannel]) -> bool:
        """The pool's thread sees what is there."""
        return False

    def wait(self, channels: list[PortableChannel], mode: int, timeout: float) -> bool:
        """Wait for a ring of the pool's thread; in that thread, within a callback, for a result."""
        if self._reading == get_ident():
            pipes = [channel.results for channel in channels if not channel.ended]
            return bool(wait(pipes, None if timeout < 0 else timeout))
        unshielded(self._bell.acquire, timeout)
        return False

    def drain(
        self, channels: list[PortableChannel], loads: Callable[[int, bytes], Any], most: int
    ) -> list[tuple[int, int, int, int, list[Any]]]:
        """Read what the workers have sent; see procession_native._core.Hub.drain()."""
        runs: list[tuple[int, int, int, int, list[Any]]] = []
        for at, channel in enumerate(channels):
            channel.drain(at, loads, runs)
        if runs:
            self.ring_leader()
        return runs

    def wake(self) -> None:
        """Wake the pool's thread."""
        # An interrupt after the note and before the byte would leave it asleep for ever.
        shield_on()
        try:
            with self._wake_lock:
                if not self._woken:
                    self._woken = True
                    try:
                        self._writer.send_bytes(b"w")
                    except OSError:  # closed: it has ended
                        pass
        finally:
            shield_off()

    def wait_all(
        self, channels: list[PortableChannel], sentinels: list[int], timeout: float | None
    ) -> set[int]:
        """Wait for a result, a ring or an end; return the sentinels of workers that have ended."""
        self._reading = get_ident()
        pipes = [channel.results for channel in channels if not channel.ended]
        found = wait([self._reader, *pipes, *sentinels], timeout)
        if self._reader in found:
            with self._wake_lock:
                self._reader.recv_bytes()
                self._woken = False
        return {item for item in found if isinstance(item, int)}

    def close(self) -> None:
        """Close the pipe; the pool's thread has ended."""
        with self._wake_lock:
            self._reader.close()
            self._writer.close()


class PortableChannel:
    """The pool's side."""

    def __init__(self, tasks: Any, results: Any) -> None:
        self.tasks = tasks
        self.results = results
        self.broken = False  # the worker is known to have ended
        self.ended = False  # nothing more can be read
        self._batches: dict[int, list[int]] = {}  # id: [count, received, 1 once begun, bytes]
        self._waiting = 0
        self._busy = 0
        self._done = 0

    def send(
        self,
        batch: int,
        slot: int,
        mode: int,
        items: list[Any],
        start: int,
        stop: int,
        dumps: Callable[[Any], Any],
    ) -> tuple[int, int]:
        """Send tasks; see procession_native._core.Channel.send()."""
        payloads: list[Any] = []
        size = 0
        for item in items[start:stop]:
            try:
                payload = dumps(item)[:2]
            except Exception:
                if not payloads:
                    raise
                break
            if size and size + len(payload[1]) > _AHEAD:
                break
            payloads.append(payload)
            size += len(payload[1])
        if self._batches and self._waiting + size > _AHEAD:
            return 0, 0
        data = default_reducer.dumps((batch, slot, mode, payloads))
        self._batches[batch] = [len(payloads), 0, 0, size]
        self._waiting += size
        if not self._write(data):
            del self._batches[batch]
            return 0, 0
        return len(payloads), batch

    def message(self, data: bytes) -> bool:
        """Send bytes for the worker's own use."""
        return self._write(default_reducer.dumps(data))

    def _write(self, data: bytes) -> bool:
        try:
            self.tasks.send_bytes(data)
        except OSError:  # it has died, which the pool's thread will notice
            return False
        return True

    def cut(self, position: int, limit: int) -> tuple[int, int] | None:
        """Say what the worker has begun; nothing can be taken back."""
        entry = self._batches.get(position)
        if entry is None:
            return None
        count, received, begun, _ = entry
        if limit == 0 and self.broken:
            return min(count, received + begun), count
        return count, count

    def lost(self) -> None:
        """The worker has ended: from now on what it has not begun is free."""
        self.broken = True

    def ready(self) -> bool:
        """Whether there is something to read."""
        try:
            return not self.ended and bool(self.results.poll(0))
        except (OSError, EOFError):
            return False

    def drain(self, at: int, loads: Callable[[int, bytes], Any], runs: list[Any]) -> None:
        """Read what is there."""
        while self.ready():
            try:
                record = default_reducer.loads(self.results.recv_bytes())
            except (EOFError, OSError):
                # Not closed here: the pool's thread may be waiting on it.
                self.ended = True
                return
            kind = record[0]
            if kind == _MESSAGE:
                runs.append((at, 3, 0, 0, [record[1]]))
                continue
            entry = self._batches.get(record[1])
            if entry is None:
                continue
            if kind == _BEGUN:
                entry[2] = 1
                self._waiting -= entry[3]
                continue
            _, batch, index, status, tag, data, spent = record
            self._busy += spent
            self._done += 1
            entry[1] += 1
            if entry[1] == entry[0]:
                del self._batches[batch]
            try:
                value = loads(tag, data)
            except Exception as error:
                runs.append((at, 2, batch, index, [error]))
            else:
                runs.append((at, status, batch, index, [value]))

    def times(self) -> tuple[int, int]:
        """Return (nanoseconds spent in finished tasks, finished tasks)."""
        return self._busy, self._done

    def state(self) -> tuple[int, int, int, int, int, int, int]:
        """As procession_native._core.Channel.state(), as far as it is known."""
        return 0, self._busy, self._done, 0, 0, self._waiting, 0


class PortableLink:
    """Two pipes."""

    def __init__(self, hub: PortableHub) -> None:
        self._task_reader, tasks = Pipe(False)
        results, self._result_writer = Pipe(False)
        self.channel: Any = PortableChannel(tasks, results)
        self.stack = StackFile()

    @property
    def stack_fd(self) -> int:
        """Where the worker writes its last stack."""
        return self.stack.fd

    def read_stack(self) -> str | None:
        """Return the worker's last stack, if it wrote one."""
        return self.stack.read()

    def dump_stack(self, pid: int) -> bool:
        """Ask a worker for its stack; False: that cannot be."""
        return self.stack.ask(pid)

    def started(self) -> None:
        """The worker has its ends of the pipes."""
        self._task_reader.close()
        self._result_writer.close()

    def close(self) -> None:
        """Close the pool's ends."""
        self.stack.close()
        for end in (self._task_reader, self._result_writer, self.channel.tasks, self.channel.results):
            end.close()

    def open(self) -> PortableWorkerChannel:
        """In the worker: its side."""
        if self.channel is not None:  # forked
            self.channel.tasks.close()
            self.channel.results.close()
            self.channel = None
        return PortableWorkerChannel(self._task_reader, self._result_writer)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild_link, (self._task_reader, self._result_writer, self.stack)


def rebuild_link(tasks: Any, results: Any, stack: StackFile) -> PortableLink:
    """In a spawned worker: the link that was sent."""
    link = PortableLink.__new__(PortableLink)
    link._task_reader = tasks
    link._result_writer = results
    link.channel = None
    link.stack = stack
    return link


class PortableWorkerChannel:
    """The worker's side."""

    def __init__(self, tasks: Any, results: Any) -> None:
        self._tasks = tasks
        self._results = results
        self._batch: Any = None
        self._at = 0
        self._pid = os.getpid()
        self.lift: Callable[[], object] | None = None  # lifts the limit of memory

    @property
    def in_hand(self) -> bool:
        """Whether a batch has tasks left."""
        return self._batch is not None

    def positions(self) -> tuple[int, int]:
        """All that was written counts as read: nothing is kept here."""
        return 0, 0

    def drained(self, timeout: float) -> bool:
        """The pipe keeps what was written."""
        return True

    def emit(self, data: bytes, ring: bool) -> None:
        """Send bytes to the pool."""
        self._lift()
        self._results.send_bytes(default_reducer.dumps((_MESSAGE, data)))

    def next(self, timeout: float) -> Any:
        """Wait for the next record; see procession_native._core.Channel.next()."""
        if self._batch is None:
            if not self._tasks.poll(timeout):
                return None
            self._lift()
            record = default_reducer.loads(self._tasks.recv_bytes())
            if isinstance(record, bytes):
                return record
            self._batch = record
            self._at = 0
            self._results.send_bytes(default_reducer.dumps((_BEGUN, record[0])))
        batch, slot, mode, payloads = self._batch
        return batch, slot, mode, len(payloads)

    def run(
        self,
        function: Callable[..., Any],
        loads: Callable[[int, bytes], Any],
        dumps: Callable[[Any], tuple[Any, ...]],
        failed: Callable[[BaseException], tuple[int, bytes]],
        most: int,
    ) -> int:
        """Run tasks; see procession_native._core.Channel.run()."""
        _, _, mode, payloads = self._batch
        ran = 0
        while ran < most and self._at < len(payloads):
            index = self._at
            self._at += 1
            begun = time.monotonic_ns()
            status = 0
            try:
                payload = dumps(_call(function, mode, loads(*payloads[index])))[:2]
            except BaseException as error:
                payload = failed(error)
                status = 1
            if os.getpid() != self._pid:
                raise SystemExit(0)  # a child that the task has forked: the pipes are its parent's
            spent = time.monotonic_ns() - begun
            try:
                self._send(index, status, payload, spent)
            except MemoryError as error:  # before anything was sent: the result is long, this is not
                self._send(index, 1, failed(error), spent)
            ran += 1
        if self._at >= len(payloads):
            self._batch = None
        return ran

    def _send(self, index: int, status: int, payload: tuple[Any, ...], spent: int) -> None:
        data = default_reducer.dumps((_RESULT, self._batch[0], index, status, *payload, spent))
        self._lift()
        self._results.send_bytes(data)

    def _lift(self) -> None:
        """Before a frame is read or written: half of one is of no use."""
        if self.lift is not None:
            self.lift()


def _call(function: Callable[..., Any], mode: int, task: Any) -> Any:
    if mode == 0:
        return function(task)
    if mode == 1:
        return function(*task)
    if mode == 2:
        return function(*task[0], **task[1])
    if mode == 3:
        return [function(item) for item in task]
    return [function(*item) for item in task]


def open_hub() -> PortableHub:
    """Return the hub of a new pool."""
    return PortableHub()


def open_link(hub: PortableHub) -> PortableLink:
    """Return the link to a new worker."""
    return PortableLink(hub)
