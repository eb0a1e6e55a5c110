"""Pipe, Listener and Client on queues: objects go through unpickled."""

from __future__ import annotations

from queue import Queue
from time import monotonic

from procession_core import check_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

families = [None]


class Connection:
    """One end of a pair of queues. What is sent arrives as the same object."""

    def __init__(self, _in: Queue[Any], _out: Queue[Any]) -> None:
        self._in = _in
        self._out = _out

    def send(self, obj: object) -> None:
        """Send *obj*. Never blocks."""
        self._out.put(obj)

    send_bytes = send

    def recv(self) -> Any:
        """Return the next object. Blocks until there is one."""
        return self._in.get()

    recv_bytes = recv

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Say whether something can be received, waiting at most *timeout* seconds (None for ever)."""
        queue = self._in
        seconds = check_timeout(timeout)
        with queue.not_empty:
            end = None if seconds is None else monotonic() + seconds
            while not queue.queue:
                left = None if end is None else end - monotonic()
                if left is not None and left <= 0:
                    return False
                queue.not_empty.wait(left)
        return True

    def close(self) -> None:
        """Do nothing: two threads hold the same object, and the one may close what the other still uses."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Return two connections that are connected to each other. Both directions work, whatever *duplex* is."""
    first: Queue[Any] = Queue()
    second: Queue[Any] = Queue()
    return Connection(first, second), Connection(second, first)


class Listener:
    """Waits for clients in this process. The listener itself, or its ``address``, is the clients' address."""

    def __init__(self, address: Any = None, family: Any = None, backlog: int = 1) -> None:
        self._backlog: Queue[Any] | None = Queue(backlog)

    def accept(self) -> Connection:
        """Wait for a client and return a connection to it. Raises OSError if the listener is closed."""
        if self._backlog is None:
            raise OSError("listener is closed: close() was called on it; make a new one")
        return Connection(*self._backlog.get())

    def close(self) -> None:
        """Accept no more."""
        self._backlog = None

    @property
    def address(self) -> Any:
        """What clients give to ``Client()``."""
        return self._backlog

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def Client(address: Any) -> Connection:
    """Connect to the listener with *address*. Blocks while its backlog is full."""
    first: Queue[Any] = Queue()
    second: Queue[Any] = Queue()
    address.put((first, second))
    return Connection(second, first)
