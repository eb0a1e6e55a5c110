"""The queues of the native variant: the core's type with names, pickling and the classic methods.

Everything that is called often is the core's own C method, inherited and not wrapped.
"""

from __future__ import annotations

from queue import Empty, Full
from types import GenericAlias

from procession_core import ShutDown, current_transfer
from procession_queues._asynchronous import attempt
from procession_queues._ends import QueueReader, QueueWriter
from procession_queues._errors import QueueStateError, closed_queue, report_feeder_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from procession_queues import _core_types as core
else:
    from procession_queues._variant import core

_NO_ENDS: frozenset[str] = frozenset()
_FLAGS = {"wait": False, "raise": True}


class _NativeQueue(core.Queue):
    """What the three kinds of queues have in common."""

    _closed_ends = _NO_ENDS
    _ignore_epipe = False
    _strict = False

    def _closed_error(self) -> Exception:
        return closed_queue(self)

    def _refuse(self, error: BaseException, obj: object) -> bool:
        """Called by the core when *obj* cannot be pickled; True if that is dealt with."""
        return False

    # ---- pickling ----

    def __getstate__(self) -> Any:
        transfer = current_transfer()
        if transfer is not None:
            transfer.hold(self)
        return (self.handle(), self._strict, self._peers)

    def __setstate__(self, state: Any) -> None:
        self._attach(*state)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (type(self),), self.__getstate__()

    __class_getitem__: Any = classmethod(GenericAlias)

    # ---- ends ----

    @property
    def _reader(self) -> QueueReader:
        return QueueReader(self)

    @property
    def _writer(self) -> QueueWriter:
        return QueueWriter(self)

    # ---- beyond the classic methods ----

    def __iter__(self) -> Iterator[Any]:
        """Take items until the queue is shut down and empty."""
        get = self.get
        while True:
            try:
                item = get()
            except ShutDown:
                return
            yield item

    async def aget(self) -> Any:
        """Take the oldest item; the task waits, without a thread, until there is one.

        Raises ShutDown and ValueError as ``get()`` does.
        """
        return await attempt(self, False, self.get_nowait, Empty)

    async def aput(self, obj: object) -> None:
        """Put an item; the task waits, without a thread, while the queue is full. Raises as ``put()`` does."""
        await attempt(self, True, self.put_nowait, Full, obj)

    def __repr__(self) -> str:
        state = " closed" if self._closed else " shut down" if self._is_shut_down else ""
        return f"<{type(self).__module__}.{type(self).__qualname__}{state} at {id(self):#x}>"


def _rebuild(cls: Any) -> Any:
    return cls.__new__(cls)


class Queue(_NativeQueue):
    """A first-in first-out queue between processes, without a feeder thread.

    ``put()`` pickles in the caller: what cannot be pickled raises there, later changes of the object are not seen, and
    the item is visible to every process on return. A process may end with its items unread. The order is the same for
    all. Any process of the tree may be sent the queue, also through another queue.

    Args:
        maxsize: the most items it holds; 0 or less: no limit.
        ctx: accepted for compatibility; the queue serves every start method.
        maxbytes: the most bytes of pickled items it holds; 0 or less: no limit. A larger item goes in alone.
        on_peer_death: what ``get()`` does on an empty queue to which no other live process holds a reference:
            ``"wait"``, as ever, or ``"raise"`` PeerDiedError. ``get(peers=True)`` asks for it once.

    Raises:
        MemoryError: the arena has no room.
        ValueError: ``on_peer_death`` is something else.

    Source: "Pipes and Queues" in the documentation of multiprocessing.
    """

    __module__ = "procession_queues"

    def __init__(
        self, maxsize: int = 0, *, ctx: Any = None, maxbytes: int = 0, on_peer_death: str = "wait"
    ) -> None:
        if on_peer_death not in _FLAGS:
            raise ValueError(f"on_peer_death must be 'wait' or 'raise', not {on_peer_death!r}")
        super().__init__(maxsize, maxbytes, False, _FLAGS[on_peer_death])

    def close(self) -> None:
        """Say that this process uses the queue no more: put and get raise ValueError from now on.

        What was put stays in the queue. Closing twice is fine.
        """
        self._close()

    def join_thread(self) -> None:
        """Return at once: there is no thread, items are in the queue when ``put()`` returns.

        Raises AssertionError before ``close()``, as documented.
        """
        if not self._closed:
            raise QueueStateError(f"Queue {self!r} not closed: call close() before join_thread()")

    def cancel_join_thread(self) -> None:
        """Do nothing: leaving a process never waits for its items, and never loses them."""

    @property
    def _maxsize(self) -> int:
        return self.maxsize

    @staticmethod
    def _on_queue_feeder_error(error: BaseException, obj: object) -> None:
        """Hook for subclasses: if overridden, it is given an item that cannot be pickled instead of an exception."""
        report_feeder_error(error)

    def _refuse(self, error: BaseException, obj: object) -> bool:
        if type(self)._on_queue_feeder_error is Queue._on_queue_feeder_error:
            return False
        self._on_queue_feeder_error(error, obj)
        return True

    def _terminate_broken(self) -> None:
        """Close the queue after its readers are gone."""
        self._reader.close()
        self.close()


class JoinableQueue(Queue):
    """A Queue that counts unfinished items, for ``task_done()`` and ``join()``.

    An item that a killed consumer had taken stays unfinished.
    """

    __module__ = "procession_queues"

    def task_done(self) -> None:
        """Say that one item that was taken has been dealt with.

        Raises ValueError if called more often than items were put.
        """
        self._task_done()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until every item that was put has been dealt with.

        At most *timeout* seconds (None: for ever); says whether it is so.
        """
        return self._join(timeout)


class SimpleQueue(_NativeQueue):
    """A Queue without limits, whose ``close()`` is strict: everything raises OSError afterwards.

    Args:
        ctx: accepted for compatibility; the queue serves every start method.

    Raises:
        MemoryError: the arena has no room.
    """

    __module__ = "procession_queues"
    _strict = True

    def __init__(self, *, ctx: Any = None) -> None:
        super().__init__(0, 0, True, False)

    def close(self) -> None:
        """Say that this process uses the queue no more. Closing twice is fine."""
        self._close()

    def _closed_error(self) -> Exception:
        return OSError("handle is closed: close() was called on this SimpleQueue")
