"""PipeConnection: messages over a named pipe of Windows."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("procession_connection._connection_windows needs Windows")

import _winapi

from ._async import refusal
from ._connection import Connection
from ._kinds import PIPE, PLAIN
from ._messages_windows import MessagePipe, message_pipes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class PipeConnection(Connection):
    """A connection over a named pipe (AF_PIPE), which keeps messages apart.

    *handle* is that of an overlapped end in message mode, which the connection owns from then on. Raises as
    Connection.
    """

    def __init__(self, handle: int, readable: bool = True, writable: bool = True) -> None:
        super().__init__(handle, readable, writable)
        self._kind = PIPE
        self._pipe = message_pipes[self.fileno()] = MessagePipe(self.fileno())

    def _close(self, handle: int) -> None:
        message_pipes.pop(handle, None)
        _winapi.CloseHandle(handle)

    def _send(self, handle: int, kind: int, data: Any) -> None:
        self._pipe.send(data)

    def _recv(self, handle: int, kind: int, limit: int) -> bytes | None:
        return self._pipe.recv(limit)

    def _recv_into(self, handle: int, kind: int, room: memoryview) -> int | bytes:
        data = self._pipe.recv(-1) or b""
        if len(data) > len(room):
            return data
        room[: len(data)] = data
        return len(data)

    async def async_recv(self) -> Any:
        """Refuse. Raises NotSupportedError: connections cannot be awaited on Windows."""
        raise refusal()

    async def async_send(self, obj: object) -> None:
        """Refuse. Raises NotSupportedError: connections cannot be awaited on Windows."""
        raise refusal()


def over_pipe(
    handle: int,
    link: int = PLAIN,
    readable: bool = True,
    writable: bool = True,
    unpickler: Callable[..., Any] | None = None,
    empty: int = 0,
) -> PipeConnection:
    """Return a connection on *handle*, of which everything is known."""
    connection = PipeConnection(handle, readable, writable)
    connection._link = link
    connection._unpickler = unpickler
    connection._pipe.empty = empty
    return connection
