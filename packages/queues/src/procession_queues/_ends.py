"""``_reader`` and ``_writer`` of a native queue: what programs expect of the two ends of a pipe."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("procession_queues._ends belongs to the native variant, which Windows does not have")

from procession_core import check_timeout, deadline_after, default_reducer, remaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any


class QueueEnd:
    """One side of a queue. Ends of one side of one queue are equal."""

    __slots__ = ("_queue",)
    _side = ""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def fileno(self) -> int:
        """A descriptor to wait for; see the queue's ``fileno()``. Raises OSError on a closed end."""
        if self.closed:
            raise OSError("handle is closed: its queue was closed in this process")
        return int(self._queue.fileno())

    @property
    def closed(self) -> bool:
        """Whether this end or the whole queue was closed in this process."""
        return self._queue._closed or self._side in self._queue._closed_ends

    def close(self) -> None:
        """Close this end in this process; nothing that was put is lost."""
        self._queue._closed_ends |= {self._side}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QueueEnd) and other._side == self._side and other._queue is self._queue

    def __hash__(self) -> int:
        return hash((self._side, id(self._queue)))

    def __enter__(self) -> QueueEnd:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class QueueReader(QueueEnd):
    """The side that is read: receiving takes an item as ``get()`` does."""

    __slots__ = ()
    _side = "reader"
    readable, writable = True, False

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Whether an item is there, or comes within *timeout* seconds (None: waits for ever).

        Raises OSError on a closed end.
        """
        if self.closed:
            raise OSError("handle is closed: its queue was closed in this process")
        queue = self._queue
        deadline = deadline_after(check_timeout(timeout))
        while queue.empty() and not queue._is_shut_down:
            left = remaining(deadline)
            if left == 0:
                return False
            import select

            poller = select.poll()
            poller.register(queue.fileno(), select.POLLIN)
            poller.poll(None if left is None else left * 1000 + 1)
        return True

    def _has_input(self) -> bool:
        # connection.wait() asks: the descriptor is rung by a thread, a moment after the item is there.
        return bool(self._queue._is_shut_down) or not self._queue.empty()

    def recv(self) -> Any:
        """Take an item; waits for one. Raises as ``get()`` does."""
        return self._queue.get()

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Take an item and return its pickle. Raises as ``get()`` does."""
        return default_reducer.dumps(self._queue.get())


class QueueWriter(QueueEnd):
    """The side that is written: sending puts an item."""

    __slots__ = ()
    _side = "writer"
    readable, writable = False, True

    def send(self, obj: object) -> None:
        """Put an item; waits while the queue is full. Raises as ``put()`` does."""
        self._queue.put(obj)

    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> None:
        """Put the object that a pickle describes. Raises as ``put()`` does."""
        view = memoryview(buf).cast("B")[offset:]
        self._queue.put(default_reducer.loads(view if size is None else view[:size]))
