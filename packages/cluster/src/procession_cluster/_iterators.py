"""The iterators of ``imap()`` and ``imap_unordered()``, and the thread that reads their input."""

from __future__ import annotations

import threading
from collections import deque

from procession_core import TimeoutError, check_timeout  # noqa: A004 - the documented name
from procession_pool._report import unraisable

from ._results import Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

    from ._pool import Pool

    Done = Callable[[float, list[tuple[bool, Any]]], object]

DEFAULT_AHEAD = 16384
"""Without ``buffersize``, so many items at most are read ahead of what has been consumed."""

_LARGEST_BATCH = 1024

_QUICK, _SLOW = 0.05, 0.2
"""Seconds: a batch that took less doubles the next ones, one that took more halves them. Dask itself needs about
a millisecond for each.
"""


class IMapIterator(Job):
    """Results of ``imap()`` and ``imap_unordered()``. Iterate, call ``next(timeout)``, or use ``async for``."""

    def __init__(
        self,
        pool: Pool,
        items: Iterator[Any],
        submit: Callable[[list[Any], int, Done], Any],
        chunksize: int,
        ordered: bool,
        buffersize: int | None,
        progress: Callable[[int, int | None], object] | None,
        total: int | None,
    ) -> None:
        super().__init__(pool)
        self._items = items
        self._submit = submit
        self._adaptive = chunksize == 1
        self._batch = chunksize
        self._ordered = ordered
        self._ahead = DEFAULT_AHEAD if buffersize is None else buffersize * chunksize
        self._pool_size = pool._processes
        self._most = pool._processes * 3  # chunks in flight
        self._progress = progress
        self._total = total
        self._buffer: list[Any] = []  # items that were read and not yet sent
        self._read = 0  # items given to the cluster
        self._received = 0
        self._consumed = 0
        self._turn = 0  # ordered: index of the next item to show
        self._stash: dict[int, list[tuple[bool, Any]]] = {}
        self._values: deque[tuple[bool, Any]] = deque()
        self._ended = False  # the input
        self._lifted = False  # the limit of _ahead: the pool was closed
        threading.Thread(target=self._feed, name="procession-imap", daemon=True).start()

    # ---- the input

    def _feed(self) -> None:
        """Read the input, which may wait for results, run anybody's code or never end."""
        while self._await_room():
            failure: BaseException | None = None
            ended = False
            try:
                item = next(self._items)
            except StopIteration:
                ended = True
            except BaseException as error:
                failure, ended = error, True
            with self._waiting.changed:
                if ended:
                    if failure is not None and not self._adaptive:
                        self._buffer = []  # the chunk that was being read is lost, as it is on the local pool
                    self._ended = True
                else:
                    self._buffer.append(item)
                # The input may wait for a result before it gives its next item: what there is must not stay here
                # while nothing is in flight whose arrival would send it.
                due = ended or len(self._buffer) >= self._batch or (self._adaptive and not self._futures)
                part = self._take() if due and (ended or len(self._futures) < self._most) else None
            self._send(part)
            if ended:
                if failure is not None:
                    with self._waiting.changed:
                        first, self._read = self._read, self._read + 1
                    self._put(first, 1.0, [(False, failure)])
                self._check_end()
                return

    def _await_room(self) -> bool:
        """Wait until an item may be read; False if no more are to be."""
        while True:
            with self._waiting.changed:
                if self._sealed:
                    return False
                ahead = self._read + len(self._buffer) - self._consumed
                room = self._lifted or ahead < self._ahead
                if room and len(self._buffer) < self._batch:
                    return True
                part = None
                if len(self._futures) < self._most and (self._adaptive or len(self._buffer) >= self._batch):
                    part = self._take()
                if part is None:
                    self._waiting.changed.wait(1.0)
            self._send(part)

    def _take(self) -> tuple[int, list[Any]] | None:
        """Return what is to be sent now, with the index of its first item; the lock is held."""
        if not self._buffer or self._sealed:
            return None
        first, chunk = self._read, self._buffer
        self._read += len(chunk)
        self._buffer = []
        self._futures[first] = None
        return first, chunk

    def _send(self, part: tuple[int, list[Any]] | None) -> None:
        if part is None:
            return
        first, chunk = part
        try:
            future = self._submit(chunk, first, lambda seconds, out: self._put(first, seconds, out))
        except BaseException as error:
            self._put(first, 1.0, [(False, error)] * len(chunk))
            return
        with self._waiting.changed:
            if first in self._futures:
                self._futures[first] = future

    # ---- the results

    def _put(self, first: int, seconds: float, outcomes: list[tuple[bool, Any]]) -> None:
        with self._waiting.changed:
            if self._sealed:
                return
            self._futures.pop(first, None)
            self._received += len(outcomes)
            if not self._ordered:
                self._values.extend(outcomes)
            else:
                self._stash[first] = outcomes
                while (found := self._stash.pop(self._turn, None)) is not None:
                    self._values.extend(found)
                    self._turn += len(found)
            # Tiny tasks cost less in larger batches; each still has a result of its own.
            if self._adaptive and seconds < _QUICK and len(outcomes) >= self._batch:
                self._batch = min(self._batch * 2, _LARGEST_BATCH)
            elif self._adaptive and seconds > _SLOW:
                self._batch = max(1, self._batch // 2)
            received = self._received
            part = self._take() if self._adaptive and len(self._futures) < self._pool_size else None
            self._waiting.changed.notify_all()
        self._send(part)
        if self._progress is not None:
            try:
                self._progress(received, self._total)
            except BaseException as error:
                unraisable(self._progress, error)
        self._check_end()

    def _check_end(self) -> None:
        with self._waiting.changed:
            done = self._ended and not self._buffer and self._received == self._read and not self._sealed
        if done:
            self._finish(True, None)

    def _abort(self, error: BaseException) -> None:
        with self._waiting.changed:
            if not self._sealed:
                self._values.append((False, error))
        # A future may be None for the moment between the reading of its items and its submission.
        self._futures = {first: future for first, future in self._futures.items() if future is not None}
        super()._abort(error)

    def _lift(self) -> None:
        """Read the rest of the input without waiting for a consumer: the pool was closed."""
        with self._waiting.changed:
            self._lifted = True
            self._waiting.changed.notify_all()

    # ---- the consumer's side

    def _ready(self) -> bool:
        return bool(self._values) or self._over

    def __iter__(self) -> IMapIterator:
        return self

    def next(self, timeout: float | None = None) -> Any:
        """Return the next result; TimeoutError after *timeout* seconds (None: never), StopIteration at the end,
        ServerDiedError if the scheduler dies. What a task raised is raised in its turn; the iterator goes on after it.
        """
        seconds = None if timeout is None else check_timeout(timeout)
        if not self._values and not self._waiting.until(self._ready, seconds):
            raise TimeoutError(f"no result within {timeout} s; next() may be called again")
        with self._waiting.changed:
            if not self._values:
                raise StopIteration
            success, value = self._values.popleft()
            self._consumed += 1
            self._waiting.changed.notify_all()
        if success:
            return value
        try:
            raise value
        finally:
            value = None

    __next__ = next

    async def _async_iterate(self) -> AsyncIterator[Any]:
        import asyncio

        end = object()

        def one() -> Any:
            try:
                return self.next()
            except StopIteration:
                return end

        loop = asyncio.get_running_loop()
        while (value := await loop.run_in_executor(None, one)) is not end:
            yield value

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._async_iterate()

    def __repr__(self) -> str:
        state = "complete" if self._over else f"{self._received} results so far"
        return f"<{type(self).__name__} of job {self._job}: {state}>"
