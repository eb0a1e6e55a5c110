"""Messages on a named pipe of Windows that keeps them apart: one write is one message, and no header is needed.

That is how CPython's package talks over AF_PIPE, too. Every call is overlapped, as in ``_framing_windows``. To wait is
to begin a read of no bytes: it ends with ERROR_MORE_DATA, and takes nothing, when a message is there. Only a message of
no bytes is taken by it, so that is counted, and received from the count.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("procession_connection._messages_windows needs Windows")

import _winapi

from ._header import TRUNCATED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ERROR_BROKEN_PIPE = 109
ERROR_NO_DATA = 232
ERROR_MORE_DATA = 234
ERROR_OPERATION_ABORTED = 995
ERROR_IO_PENDING = 997
_GONE = (ERROR_BROKEN_PIPE, ERROR_NO_DATA, 233, 64)
"""The other end is closed, closing, disconnected, or on a machine that cannot be reached any more."""
_FIRST = 8192
"""The bytes of a message's first read; most messages need no second."""
_LONGEST = 0xFFFFFFFF
"""What one write takes. A message cannot be written in parts."""


def is_gone(error: OSError) -> bool:
    """Say whether *error* means that nobody is at the other end."""
    return getattr(error, "winerror", None) in _GONE


def finish(overlapped: Any, error: int) -> tuple[int, int]:
    """Wait for *overlapped*, which began with *error*; return the number of bytes and the error it ended with.

    Raises OSError.
    """
    if error == ERROR_IO_PENDING:
        # WaitForMultipleObjects() of the interpreter ends for Ctrl-C; GetOverlappedResult() does not.
        try:
            _winapi.WaitForMultipleObjects([overlapped.event], False, _winapi.INFINITE)
        except BaseException:
            overlapped.cancel()
            raise
    count, error = overlapped.GetOverlappedResult(True)
    if error == ERROR_OPERATION_ABORTED:
        raise OSError(
            "handle is closed: close() was called while the connection was in use, or its thread ended"
        )
    return count, error


class MessagePipe:
    """The messages of one end of a pipe; its *handle* belongs to somebody else."""

    __slots__ = ("empty", "handle")

    def __init__(self, handle: int, empty: int = 0) -> None:
        self.handle = handle
        self.empty = empty
        """The messages of no bytes that waiting has taken."""

    def send(self, data: Any) -> None:
        """Write one message. Blocks while the other end does not read. Raises OSError, ValueError if it is too long."""
        view = memoryview(data)
        size = view.nbytes
        if size > _LONGEST:
            raise ValueError(
                f"{size} bytes in one message; a pipe of Windows carries {_LONGEST}, send it in parts"
            )
        count, _ = finish(*_winapi.WriteFile(self.handle, view, overlapped=True))
        if count != size:
            raise OSError(f"only {count} of {size} bytes of a message were written")

    def recv(self, limit: int) -> bytes | None:
        """Return the next message, or None if it is longer than *limit*. Blocks. Raises EOFError, OSError."""
        if self.empty:
            self.empty -= 1
            return b""
        try:
            data, error = self._read(_FIRST)
        except OSError as failure:
            if is_gone(failure):
                raise EOFError from None
            raise
        left = 0
        if error == ERROR_MORE_DATA:
            left = int(_winapi.PeekNamedPipe(self.handle, 0)[1])
        if 0 <= limit < len(data) + left:
            return None
        if left:
            try:
                rest, error = self._read(left)
            except OSError as failure:
                if is_gone(failure):
                    raise OSError(TRUNCATED) from None
                raise
            if error or len(rest) != left:
                raise OSError(TRUNCATED)
            data += rest
        return data

    def _read(self, size: int) -> tuple[bytes, int]:
        overlapped, error = _winapi.ReadFile(self.handle, size, overlapped=True)
        count, error = finish(overlapped, error)
        buffer = overlapped.getbuffer()
        return (b"" if buffer is None else bytes(buffer[:count])), error

    def begin(self) -> Any:
        """Begin to wait; return what is to be waited for, or None if a message or the end can be received already.

        Raises OSError for a handle that is not open.
        """
        if self.empty:
            return None
        try:
            overlapped, error = _winapi.ReadFile(self.handle, 0, overlapped=True)
        except OSError as failure:
            if is_gone(failure):
                return None
            raise
        if error == ERROR_IO_PENDING:
            return overlapped
        self.empty += error != ERROR_MORE_DATA
        return None

    def end(self, overlapped: Any) -> bool:
        """End what ``begin()`` has begun; return whether a message or the end can be received."""
        overlapped.cancel()
        try:
            _, error = overlapped.GetOverlappedResult(True)
        except OSError:
            return True  # the end, or what receiving raises
        if error == ERROR_OPERATION_ABORTED:
            return False
        self.empty += error != ERROR_MORE_DATA
        return True

    def is_ready(self) -> bool:
        """Say whether a message or the end can be received without blocking."""
        overlapped = self.begin()
        return overlapped is None or self.end(overlapped)


message_pipes: dict[int, MessagePipe] = {}
"""Handle → its messages, for all that wait by the handle alone. Whoever makes an entry removes it before closing."""
