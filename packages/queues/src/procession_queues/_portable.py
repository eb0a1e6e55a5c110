"""The queues of the portable variant: a pipe, a lock for each side, a semaphore that counts the room.

Slower than the native ones, and what a pipe cannot do is absent: ``peek()``, ``maxbytes``, news of a peer's death; they
can be sent only to a child at its start.
"""

from __future__ import annotations

from queue import Empty, Full
from types import GenericAlias

import procession_synchronize as synchronize
from procession_connection import Pipe
from procession_core import (
    InheritanceError,
    NotSupportedError,
    ShutDown,
    check_timeout,
    current_transfer,
    deadline_after,
    default_reducer,
    remaining,
)
from procession_queues._asynchronous import attempt
from procession_queues._errors import QueueStateError, closed_queue, report_feeder_error
from procession_queues._portable_feeder import Feeder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, NoReturn

_SLICE = 0.1
"""Seconds after which a wait looks whether the queue was shut down meanwhile."""


def _slice(deadline: float | None) -> float:
    left = remaining(deadline)
    return _SLICE if left is None or left > _SLICE else left


def _absent(what: str) -> NoReturn:
    raise NotSupportedError(f"{what} needs the native core; build procession-native with a C compiler")


class _PortableQueue:
    """What the three kinds of queues have in common. Subclasses have ``put`` and ``get``."""

    _reader: Any
    _writer: Any
    _closed = False

    __class_getitem__: Any = classmethod(GenericAlias)

    def get(self, block: bool = True, timeout: float | None = None, peers: bool = False) -> Any:
        """Take the oldest item. Raises queue.Empty, ShutDown, ValueError on a closed queue."""
        raise Empty

    def put(self, obj: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item."""

    def put_nowait(self, obj: object) -> None:
        """The same as put(obj, False)."""
        self.put(obj, False)

    def get_nowait(self) -> Any:
        """The same as get(False)."""
        return self.get(False)

    def get_no_wait(self) -> Any:
        """The same as get(False); the name of the first documentation."""
        return self.get(False)

    def put_many(self, items: Iterable[object], block: bool = True, timeout: float | None = None) -> int:
        """Put the items of an iterable in order and return their number.

        Raises what ``put()`` raises; the exception's attribute ``accepted`` says how many were put before.
        """
        deadline = deadline_after(check_timeout(timeout))
        count = 0
        try:
            for item in items:
                self.put(item, block, remaining(deadline))
                count += 1
        except Exception as error:
            error.accepted = count  # type: ignore[attr-defined]
            raise
        return count

    def get_many(
        self, max_items: int | None = None, block: bool = True, timeout: float | None = None
    ) -> list[Any]:
        """Take up to *max_items* items, at least one; waits only for the first. Raises as ``get()`` does."""
        if max_items is not None and max_items < 1:
            raise ValueError(f"max_items must be at least 1 or None, not {max_items}")
        items = [self.get(block, timeout)]
        limit = 1000 if max_items is None else max_items
        while len(items) < limit:
            try:
                items.append(self.get(False))
            except (Empty, ShutDown):
                break
        return items

    def peek(self) -> Any:
        """Not to be had from a pipe: raises NotSupportedError."""
        _absent("peek()")

    def fileno(self) -> int:
        """The pipe's descriptor, readable while an item is there."""
        return int(self._reader.fileno())

    def __iter__(self) -> Iterator[Any]:
        """Take items until the queue is shut down and empty."""
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item

    async def aget(self) -> Any:
        """Take the oldest item; the task waits, without a thread, until there is one."""
        return await attempt(self, False, self.get_nowait, Empty)

    async def aput(self, obj: object) -> None:
        """Put an item; the task waits, without a thread, while the queue is full."""
        await attempt(self, True, self.put_nowait, Full, obj)

    def _require_spawning(self) -> None:
        transfer = current_transfer()
        if transfer is None or not transfer.spawning:
            raise InheritanceError(
                f"{type(self).__name__} objects should only be shared between processes through inheritance; "
                "pass it to the Process when it is started, or build the native core, whose objects go anywhere"
            )

    # ---- reading the pipe ----

    _rlock: Any
    _down: Any

    @property
    def _is_shut_down(self) -> bool:
        return not self._down.locked()

    def _receive(self, block: bool, timeout: float | None) -> bytes:
        deadline = deadline_after(check_timeout(timeout) if block else 0.0)
        while True:
            down = self._is_shut_down
            wait = _slice(deadline)
            # Whoever waits for an item holds the lock, so ours may come late; the pipe is asked all the same.
            if self._rlock.acquire(True, wait) if wait > 0 else self._rlock.acquire(False):
                try:
                    if self._reader.poll(0.0 if down else _slice(deadline)):
                        data: bytes = self._reader.recv_bytes()
                        return data
                finally:
                    self._rlock.release()
                if down:
                    raise ShutDown
            if remaining(deadline) == 0:
                raise Empty


class Queue(_PortableQueue):
    """A first-in first-out queue between processes on a pipe.

    ``put()`` pickles in the caller, so what cannot be pickled raises there; a message that does not fit into the pipe
    at once is written by a thread, which a process waits for at its end unless ``cancel_join_thread()`` was called.

    Args:
        maxsize: the most items it holds; 0 or less: no limit.
        ctx: a context that tells which start method the queue has to serve.
        maxbytes: not to be had here.
        on_peer_death: only ``"wait"`` is to be had here.

    Raises:
        NotSupportedError: maxbytes or ``on_peer_death="raise"`` is asked for.

    Source: "Pipes and Queues" in the documentation of multiprocessing.
    """

    __module__ = "procession_queues"
    _ignore_epipe = False

    def __init__(
        self, maxsize: int = 0, *, ctx: Any = None, maxbytes: int = 0, on_peer_death: str = "wait"
    ) -> None:
        if on_peer_death not in ("wait", "raise"):
            raise ValueError(f"on_peer_death must be 'wait' or 'raise', not {on_peer_death!r}")
        if maxbytes > 0:
            _absent("maxbytes")
        if on_peer_death == "raise":
            _absent("on_peer_death='raise'")
        self._maxsize = maxsize if maxsize > 0 else synchronize.SEM_VALUE_MAX
        self._reader, self._writer = Pipe(duplex=False)
        self._rlock = synchronize.Lock(ctx=ctx)
        self._wlock = synchronize.Lock(ctx=ctx)
        self._sem = synchronize.BoundedSemaphore(self._maxsize, ctx=ctx)
        self._down = synchronize.Semaphore(0, ctx=ctx)
        self._begin()

    def _begin(self) -> None:
        self._closed = False
        self._used = False
        self._feeder = Feeder(self._writer, self._wlock, self._on_queue_feeder_error)

    @property
    def maxsize(self) -> int:
        """The most items that the queue holds; 0: no limit."""
        return 0 if self._maxsize == synchronize.SEM_VALUE_MAX else self._maxsize

    @property
    def maxbytes(self) -> int:
        """Always 0 here: no limit."""
        return 0

    def __getstate__(self) -> Any:
        self._require_spawning()
        return (self._maxsize, self._reader, self._writer, self._rlock, self._wlock, self._sem, self._down)

    def __setstate__(self, state: Any) -> None:
        self._maxsize, self._reader, self._writer, self._rlock, self._wlock, self._sem, self._down = state
        self._begin()

    def put(self, obj: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, which is pickled now.

        Waits while the queue is full, at most *timeout* seconds (None: for ever); block=False does not wait.
        Raises queue.Full, ValueError on a closed queue, ShutDown, and what pickling raises.
        """
        if self._closed:
            raise closed_queue(self)
        try:
            data = default_reducer.dumps(obj)
        except Exception as error:
            if type(self)._on_queue_feeder_error is Queue._on_queue_feeder_error:
                raise
            self._on_queue_feeder_error(error, obj)
            return
        deadline = deadline_after(check_timeout(timeout) if block else 0.0)
        while True:
            if self._is_shut_down:
                raise ShutDown
            wait = _slice(deadline)
            if self._sem.acquire(True, wait) if wait > 0 else self._sem.acquire(False):
                break
            if remaining(deadline) == 0:
                raise Full
        self._used = True
        self._count()
        self._feeder.send(data)

    def _count(self) -> None:
        """Called for each item before it becomes visible."""

    def get(self, block: bool = True, timeout: float | None = None, peers: bool = False) -> Any:
        """Take the oldest item.

        Waits while the queue is empty, at most *timeout* seconds (None: for ever); block=False does not wait.
        Raises queue.Empty, ValueError on a closed queue, ShutDown once a queue that was shut down is empty,
        NotSupportedError if *peers* is asked for, and what unpickling raises.
        """
        if self._closed:
            raise closed_queue(self)
        if peers:
            _absent("get(peers=True)")
        data = self._receive(block, timeout)
        self._sem.release()
        return default_reducer.loads(data)

    def qsize(self) -> int:
        """The number of items, those included that a feeder thread still has. NotImplementedError on macOS."""
        return int(self._maxsize - self._sem.get_value())

    def empty(self) -> bool:
        """Whether nothing can be taken now. Raises OSError on a closed queue that was put to."""
        return not self._reader.poll(0.0)

    def full(self) -> bool:
        """Whether ``put()`` would wait now."""
        return bool(self._sem.locked())

    def shutdown(self, immediate: bool = False) -> None:
        """End the queue in all processes: put() raises ShutDown, get() too as soon as the queue is empty.

        immediate=True empties it at once, and counts what was in it as done.
        """
        if not self._is_shut_down:
            self._down.release()
        while immediate:
            try:
                self._receive(False, None)
            except (Empty, ShutDown):
                return
            self._sem.release()
            self._discarded()

    def _discarded(self) -> None:
        """Called for each item that shutdown() throws away."""

    def close(self) -> None:
        """Say that this process uses the queue no more: put and get raise ValueError from now on."""
        if self._closed:
            return
        self._closed = True
        self._feeder.end()
        if self._used:
            self._reader.close()

    def join_thread(self) -> None:
        """Wait until all that was put is in the pipe. Raises AssertionError before ``close()``."""
        if not self._closed:
            raise QueueStateError(f"Queue {self!r} not closed: call close() before join_thread()")
        self._feeder.finish()

    def cancel_join_thread(self) -> None:
        """Do not wait at the process's end for items that are not in the pipe yet; they may be lost."""
        self._feeder.do_not_wait_at_exit()

    @staticmethod
    def _on_queue_feeder_error(error: BaseException, obj: object) -> None:
        """Hook for subclasses: if overridden, it is given an item that cannot be pickled instead of an exception."""
        report_feeder_error(error)

    def _terminate_broken(self) -> None:
        """Close the queue after its readers are gone."""
        self._reader.close()
        self.cancel_join_thread()
        self.close()


class JoinableQueue(Queue):
    """A Queue that counts unfinished items, for ``task_done()`` and ``join()``."""

    __module__ = "procession_queues"

    def __init__(
        self, maxsize: int = 0, *, ctx: Any = None, maxbytes: int = 0, on_peer_death: str = "wait"
    ) -> None:
        super().__init__(maxsize, ctx=ctx, maxbytes=maxbytes, on_peer_death=on_peer_death)
        self._unfinished = synchronize.Semaphore(0, ctx=ctx)
        self._all_done = synchronize.Condition(ctx=ctx)

    def __getstate__(self) -> Any:
        return (super().__getstate__(), self._unfinished, self._all_done)

    def __setstate__(self, state: Any) -> None:
        inner, self._unfinished, self._all_done = state
        super().__setstate__(inner)

    def _count(self) -> None:
        with self._all_done:
            self._unfinished.release()

    def _discarded(self) -> None:
        self.task_done()

    def task_done(self) -> None:
        """Say that one item that was taken has been dealt with.

        Raises ValueError if called more often than items were put.
        """
        with self._all_done:
            if not self._unfinished.acquire(False):
                raise ValueError("task_done() called too many times: more often than items were put")
            if self._unfinished.locked():
                self._all_done.notify_all()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every item that was put has been dealt with.

        At most *timeout* seconds (None: for ever); says whether it is so.
        """
        deadline = deadline_after(check_timeout(timeout))
        with self._all_done:
            while not self._unfinished.locked():
                if remaining(deadline) == 0:
                    return False
                self._all_done.wait(remaining(deadline))
        return True


class SimpleQueue(_PortableQueue):
    """A pipe with a lock for each side. ``put()`` waits while the pipe is full.

    Args:
        ctx: a context that tells which start method the queue has to serve.
    """

    __module__ = "procession_queues"

    def __init__(self, *, ctx: Any = None) -> None:
        self._reader, self._writer = Pipe(duplex=False)
        self._rlock = synchronize.Lock(ctx=ctx)
        self._wlock = synchronize.Lock(ctx=ctx)
        self._down = synchronize.Semaphore(0, ctx=ctx)

    def __getstate__(self) -> Any:
        self._require_spawning()
        return (self._reader, self._writer, self._rlock, self._wlock, self._down)

    def __setstate__(self, state: Any) -> None:
        self._reader, self._writer, self._rlock, self._wlock, self._down = state

    def put(self, obj: object, block: bool = True, timeout: float | None = None) -> None:
        """Put an item, which is pickled now. Raises OSError on a closed queue and what pickling raises."""
        data = default_reducer.dumps(obj)
        if self._is_shut_down:
            raise ShutDown
        with self._wlock:
            self._writer.send_bytes(data)

    def get(self, block: bool = True, timeout: float | None = None, peers: bool = False) -> Any:
        """Take the oldest item; waits for one. Raises OSError on a closed queue, what unpickling raises, and what
        ``Queue.get()`` raises for the same arguments.
        """
        if peers:
            _absent("get(peers=True)")
        return default_reducer.loads(self._receive(block, timeout))

    def empty(self) -> bool:
        """Whether nothing can be taken now. Raises OSError on a closed queue."""
        return not self._reader.poll(0.0)

    def shutdown(self, immediate: bool = False) -> None:
        """End the queue in all processes, as ``Queue.shutdown()`` does."""
        if not self._is_shut_down:
            self._down.release()
        while immediate:
            try:
                self._receive(False, None)
            except (Empty, ShutDown):
                return

    def close(self) -> None:
        """Close both ends in this process. Closing twice is fine."""
        self._closed = True
        self._reader.close()
        self._writer.close()
