"""The iterators that ``imap()`` and ``imap_unordered()`` return, and how their input is read."""

from __future__ import annotations

from collections import deque
from itertools import islice

from procession_core import TimeoutError, check_timeout, info  # noqa: A004 - the documented name

from ._results import Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from typing import Any

    from ._engine import Engine
    from ._functions import Function
    from ._policy import Policy

DEFAULT_AHEAD = 16384
"""Without ``buffersize``, so many tasks at most are given to the workers ahead of what has been consumed."""

_BLOCK = 1024
"""Tasks read from the input at a time."""

_SAFE_SOURCES = (list, tuple, range, str, bytes, dict, set, frozenset, deque)
"""Iterating over these runs nobody's code and cannot block, so any thread may do it."""


class Failure:
    """An exception in the place of a result."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class IMapIterator(Job):
    """Results in the order of the input. Iterate, call ``next(timeout)``, or use ``async for``."""

    __slots__ = (
        "_ahead",
        "_base",
        "_chunksize",
        "_consumed",
        "_cursor",
        "_done",
        "_exhausted_at",
        "_feeding",
        "_inline",
        "_items",
        "_kind",
        "_limit_lifted",
        "_received",
        "_source",
        "_stash",
        "_total",
        "_turn",
        "_values",
    )

    def __init__(
        self,
        engine: Engine,
        pool: object,
        function: Function | None,
        iterable: Iterable[Any],
        chunksize: int,
        kind: int,
        buffersize: int | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(engine, pool, function, None, None, policy)
        self._kind = kind
        self._chunksize = chunksize
        self._inline = type(iterable) in _SAFE_SOURCES
        self._source: Iterator[Any] | None = iter(iterable)
        self._ahead = buffersize if buffersize is not None else max(1, DEFAULT_AHEAD // chunksize)
        self._limit_lifted = False
        self._items: list[Any] = []  # tasks that were read and not yet sent, from _cursor on
        self._base = 0  # index of _items[0]
        self._cursor = 0
        self._exhausted_at: int | None = None  # number of tasks, once known
        self._feeding = False
        self._received = 0  # tasks whose result has come
        self._done = 0  # items whose result has come, for progress
        self._consumed = 0  # tasks whose result has been taken out, about
        self._turn = 0  # ordered: index of the next task to show
        self._total: int | None = None
        self._stash: dict[int, list[Any]] = {}
        self._values: deque[Any] = deque()

    # ---- the consumer's side

    def __iter__(self) -> IMapIterator:
        return self

    def __next__(self) -> Any:
        values = self._values
        if not values and not self._refill(None):
            raise TimeoutError
        try:
            value = values.popleft()
        except IndexError:
            raise StopIteration from None
        self._consumed += 1
        if not self._consumed & 255:
            self._engine.pump()
        if value.__class__ is Failure:
            try:
                raise value.error
            finally:
                value = None
        return value

    def next(self, timeout: float | None = None) -> Any:
        """Return the next result; waits at most *timeout* seconds (None: for ever).

        Raises:
            StopIteration: there are no more.
            procession.TimeoutError: it did not arrive in time; a later call returns it.
            Exception: what the task raised; the iterator goes on after it.
        """
        if not self._values and not self._refill(None if timeout is None else check_timeout(timeout)):
            raise TimeoutError(f"no result within {timeout} s; next() may be called again")
        return self.__next__()

    def _refill(self, timeout: float | None) -> bool:
        # True: there are values, or it is the end.
        if not self._ready():
            self._engine.wait_for(self, timeout)
        return self._ready()

    def _ready(self) -> bool:
        return bool(self._values) or self._over

    async def _async_iterate(self) -> AsyncIterator[Any]:
        import asyncio

        loop = asyncio.get_running_loop()
        while True:
            if not self._ready():
                waiter: asyncio.Future[None] = loop.create_future()

                def wake(waiter: asyncio.Future[None] = waiter) -> None:
                    if not waiter.done():
                        waiter.set_result(None)

                def there(_: object, wake: Any = wake) -> None:
                    try:
                        loop.call_soon_threadsafe(wake)
                    except RuntimeError:  # the loop is closed
                        pass

                if self._engine.when_ready(self, there):
                    await waiter
                continue
            try:
                value = self.__next__()
            except StopIteration:
                return
            yield value

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._async_iterate()

    def cancel(self) -> bool:
        """Drop the tasks that have not begun, replace the workers that run some; the iterator ends with
        CancelledError. Returns False if it was complete.
        """
        return self._engine.cancel(self, True)

    # ---- the engine's side: input

    def _wants_input(self) -> bool:
        """Whether more tasks may be read now."""
        if self._source is None or self._feeding or self._over:
            return False
        return len(self._items) - self._cursor < _BLOCK and self._allowed() > 0

    def _allowed(self) -> int:
        if self._limit_lifted:
            return _BLOCK
        size = self._chunksize
        taken = self._consumed if size == 1 else self._consumed // size
        return self._ahead - (self._base + len(self._items) - taken)

    def _read(self) -> None:
        """Read more of an input that cannot block or run anybody's code; the engine's lock is held."""
        source = self._source
        if source is None:
            return
        size = self._chunksize
        room = min(self._allowed(), _BLOCK if size == 1 else 16)
        new: list[Any] = []
        error: BaseException | None = None
        try:
            if size == 1:
                new = list(islice(source, room))
            else:
                while len(new) < room and (chunk := list(islice(source, size))):
                    new.append(chunk)
        except Exception as raised:  # a dictionary that changed its size
            error = raised
        self._add(new, len(new) < room or error is not None, error)

    def _next_task(self) -> tuple[list[Any], bool, BaseException | None]:
        """Read one task of any input: ([task], at its end, the error that ended it)."""
        source = self._source
        if source is None:
            return [], True, None
        size = self._chunksize
        chunk: list[Any] = []
        try:
            while len(chunk) < size:
                chunk.append(next(source))
        except StopIteration:
            return ([chunk] if chunk else []), True, None
        except BaseException as error:
            # The chunk that was being read is lost, as it is in CPython.
            info("the input of %r raised %r", self, error)
            return [], True, error
        return (chunk if size == 1 else [chunk]), False, None

    def _add(self, new: list[Any], ended: bool, error: BaseException | None) -> None:
        if self._over:
            self._source = None
            return
        if self._cursor > _BLOCK:
            # A new list: the batches in flight refer to the old one by index.
            self._items = self._items[self._cursor :]
            self._base += self._cursor
            self._cursor = 0
        self._items += new
        if ended:
            self._source = None
            count = self._base + len(self._items)
            if error is not None:
                self._exhausted_at = count + 1
                self._accept(count, [Failure(error)], 1)
            else:
                self._exhausted_at = count
            self._check_end()

    def _take(self, most: int) -> tuple[list[Any], int, int]:
        start = self._cursor
        stop = min(start + most, len(self._items))
        self._cursor = stop
        return self._items, start, stop

    def _exhausted(self) -> bool:
        return self._cursor >= len(self._items)

    # ---- the engine's side: results

    def _deliver(self, first: int, values: list[Any]) -> None:
        if self._sealed:
            return
        count = len(values)
        if self._chunksize > 1:
            for offset, chunk in enumerate(values):
                self._accept(first + offset, chunk, 1)
                self._done += len(chunk)
        else:
            self._accept(first, values, count)
            self._done += count
        self._check_end()

    def _fail(self, index: int, error: BaseException) -> None:
        if self._sealed:
            return
        self._accept(index, [Failure(error)], 1)
        self._done += self._chunksize
        self._check_end()

    def _accept(self, first: int, values: list[Any], count: int) -> None:
        self._received += count
        if first != self._turn:
            self._stash[first] = [count, values]
            return
        self._values.extend(values)
        self._turn += count
        stash = self._stash
        while stash:
            found = stash.pop(self._turn, None)
            if found is None:
                return
            self._values.extend(found[1])
            self._turn += found[0]

    def _check_end(self) -> None:
        if self._progress is not None:
            total = self._total
            self._engine.report(
                self._progress, self._done if total is None else min(self._done, total), total
            )
        if self._received == self._exhausted_at and not self._sealed:
            self._finish(True, None)
        elif self._values:
            self._engine.job_progress(self)

    def _abort(self, error: BaseException) -> None:
        if not self._sealed:
            self._values.append(Failure(error))
            self._finish(False, error)

    def _finish(self, success: bool, value: Any) -> None:
        self._source = None
        super()._finish(success, None)

    def _describe(self, index: int) -> str:
        name = self._function.name if self._function is not None else "?"
        return f"{name} ({'chunk' if self._chunksize > 1 else 'item'} {index} of imap)"

    def __repr__(self) -> str:
        state = "complete" if self._over else f"{self._received} results so far"
        return f"<{type(self).__name__} of job {self._job}: {state}>"


class IMapUnorderedIterator(IMapIterator):
    """Results in the order in which they become ready."""

    __slots__ = ()

    def _accept(self, first: int, values: list[Any], count: int) -> None:
        self._received += count
        self._values.extend(values)


def feed(job: IMapIterator, engine: Engine) -> None:
    """Body of the thread that reads an input whose iteration may run anybody's code, or block."""
    while engine.wait_for_room(job):
        engine.add_input(job, *job._next_task())
