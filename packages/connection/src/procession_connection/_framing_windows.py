"""Frames on Windows: overlapped reads and writes of named pipes, and sockets.

A pipe is read and written as a stream, with the same headers as elsewhere. Every call on it is overlapped, because
Windows lets only one plain call at a time into a pipe, and a reader would keep the writers of its end out. To wait
is to begin a read of no bytes, which ends when there are some.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("procession_connection._framing_windows needs Windows")

import _winapi
import os
from time import monotonic, sleep

from ._header import LONG, SHORT, TRUNCATED, header
from ._kinds import PIPE, STREAM
from ._messages_windows import message_pipes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_ERROR_IO_PENDING = 997
_WAIT_TIMEOUT = 258
_MOST_HANDLES = 60
"""One wait takes 64 at most; more are looked at in turns."""
_TURN = 0.01
_LOOK = 0.05
"""Seconds after which a pipe is looked at again: not everything that can be read ends a read of no bytes."""
_BUFFER = 65536
_CHUNK = 1 << 20
_FILE_TYPE_PIPE = 3
_WAITABLE = -2
"""Neither a pipe nor a socket: a process, an event."""
_MESSAGES = -3
"""A pipe that keeps messages apart."""


def _socket(handle: int) -> Any:
    """Return a socket object for *handle*, to be detached. Raises OSError if it is no socket."""
    import socket

    sock = socket.socket(fileno=handle)
    sock.settimeout(None)
    return sock


def _what(handle: int) -> int:
    if handle in message_pipes:
        return _MESSAGES
    try:
        if _winapi.GetFileType(handle) != _FILE_TYPE_PIPE:
            return _WAITABLE
    except OSError:
        _winapi.WaitForSingleObject(handle, 0)  # a process is no file; raises for what is not open
        return _WAITABLE
    try:
        _socket(handle).detach()
    except OSError:
        return PIPE
    return STREAM


def kind_of(handle: int) -> int:
    """Return the kind of *handle*. Raises OSError if it is not open."""
    kind = _what(handle)
    return STREAM if kind == STREAM else PIPE


def close(handle: int) -> None:
    """Close a pipe's or a socket's handle. Raises OSError if it is not open."""
    try:
        kind = _what(handle)
    except ImportError:
        return  # the interpreter is ending, and with the process its handles are closed
    if kind == STREAM:
        import _socket as sockets

        sockets.close(handle)
    else:
        _winapi.CloseHandle(handle)


def pipe(duplex: bool) -> tuple[int, int]:
    """Return the handles of the two ends of a new pipe; the first one reads. Raises OSError."""
    address = rf"\\.\pipe\procession-{os.getpid()}-{os.urandom(8).hex()}"
    access = _winapi.PIPE_ACCESS_DUPLEX if duplex else _winapi.PIPE_ACCESS_INBOUND
    wanted = _winapi.GENERIC_WRITE | (_winapi.GENERIC_READ if duplex else 0)
    first = _winapi.CreateNamedPipe(
        address,
        access | _winapi.FILE_FLAG_OVERLAPPED | _winapi.FILE_FLAG_FIRST_PIPE_INSTANCE,
        0,  # a stream of bytes
        1,
        _BUFFER,
        _BUFFER,
        0,
        0,
    )
    try:
        second = _winapi.CreateFile(
            address, wanted, 0, 0, _winapi.OPEN_EXISTING, _winapi.FILE_FLAG_OVERLAPPED, 0
        )
        try:
            _winapi.ConnectNamedPipe(first, overlapped=True).GetOverlappedResult(True)
        except OSError:
            _winapi.CloseHandle(second)
            raise
    except OSError:
        _winapi.CloseHandle(first)
        raise
    return first, second


# ---- bytes -------------------------------------------------------------------------------------------------


def _end(overlapped: Any, error: int) -> int:
    # WaitForMultipleObjects() of the interpreter ends for Ctrl-C; GetOverlappedResult() does not.
    if error == _ERROR_IO_PENDING:
        try:
            _winapi.WaitForMultipleObjects([overlapped.event], False, _winapi.INFINITE)
        except BaseException:
            overlapped.cancel()
            raise
    count: int = overlapped.GetOverlappedResult(True)[0]
    return count


def _write_all(handle: int, kind: int, view: memoryview) -> None:
    if kind == STREAM:
        sock = _socket(handle)
        try:
            sock.sendall(view)
        finally:
            sock.detach()
        return
    while view:
        written = _end(*_winapi.WriteFile(handle, bytes(view[:_CHUNK]), overlapped=True))
        view = view[written:]


def _read(handle: int, kind: int, size: int) -> bytes:
    """Return at least one byte, empty at the end."""
    if kind == STREAM:
        sock = _socket(handle)
        try:
            return bytes(sock.recv(size))
        finally:
            sock.detach()
    try:
        overlapped, error = _winapi.ReadFile(handle, min(size, _CHUNK), overlapped=True)
        count = _end(overlapped, error)
    except BrokenPipeError:
        return b""
    buffer = overlapped.getbuffer()
    return b"" if buffer is None else bytes(buffer[:count])


def read(handle: int, size: int) -> bytes:
    """Return at most *size* bytes of a socket, empty at its end. Blocks. Raises OSError."""
    return _read(handle, STREAM, size)


def write(handle: int, data: bytes) -> int:
    """Write to a socket and return how many bytes it took. Raises OSError."""
    sock = _socket(handle)
    try:
        return int(sock.send(data))
    finally:
        sock.detach()


def _exactly(handle: int, kind: int, size: int, started: bool) -> bytes:
    parts: list[bytes] = []
    while size:
        part = _read(handle, kind, size)
        if not part:
            if started or parts:
                raise OSError(TRUNCATED)
            raise EOFError
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _size(handle: int, kind: int) -> int:
    size: int = SHORT.unpack(_exactly(handle, kind, 4, False))[0]
    if size == -1:
        size = LONG.unpack(_exactly(handle, kind, 8, True))[0]
        if size > 1 << 62:
            raise OSError(f"bad message length: {size}")
    elif size < 0:
        raise OSError(f"bad message length: {size}")
    return size


# ---- frames ------------------------------------------------------------------------------------------------


def send(handle: int, kind: int, data: Any) -> None:
    """Write one frame. Blocks while the other end does not read. Raises OSError (BrokenPipeError)."""
    view = memoryview(data)
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    if len(view) <= _BUFFER:
        _write_all(handle, kind, memoryview(header(len(view)) + view))
    else:
        _write_all(handle, kind, memoryview(header(len(view))))
        _write_all(handle, kind, view)


def send_plain(handle: int, kind: int, obj: object) -> bool:
    """Say that every object is work for a pickler."""
    return False


def send_fds(handle: int, kind: int, data: Any, fds: Sequence[int]) -> None:
    """Refuse: nothing here carries handles beside its bytes. Raises OSError."""
    raise OSError("handles cannot be sent beside a message on Windows; give them to the Process at its start")


def recv(handle: int, kind: int, limit: int) -> bytes | None:
    """Return the next message, or None if it is longer than *limit*. Blocks. Raises EOFError, OSError."""
    size = _size(handle, kind)
    if 0 <= limit < size:
        return None
    return _exactly(handle, kind, size, True)


def recv_fds(handle: int, kind: int) -> bytes | tuple[bytes, list[int]]:
    """Return the next message, with which no handles come. Blocks. Raises EOFError, OSError."""
    return _exactly(handle, kind, _size(handle, kind), True)


def recv_into(handle: int, kind: int, buffer: Any) -> int | bytes:
    """Read the next message into *buffer* and return its length; return the message if it does not fit."""
    view = memoryview(buffer)
    size = _size(handle, kind)
    data = _exactly(handle, kind, size, True)
    if size > len(view):
        return data
    view[:size] = data
    return size


def read_soon(handle: int, size: int, timeout: float) -> bytes | None:
    """Say that nothing has come: looking again and again is not for Python code."""
    return None


# ---- waiting -----------------------------------------------------------------------------------------------


def poll(handle: int, timeout: float | None) -> bool:
    """Say whether *handle* can be read within *timeout* seconds."""
    return bool(wait([handle], timeout))


def _is_ready(handle: int, kind: int) -> bool:
    if kind == _MESSAGES:
        return message_pipes[handle].is_ready()
    if kind == PIPE:
        try:
            waiting: Any = _winapi.PeekNamedPipe(handle, 0)[0]
            return bool(waiting > 0)
        except BrokenPipeError:
            return True  # the end can be read
    if kind == STREAM:
        import select

        return bool(select.select([handle], [], [], 0)[0])
    return _winapi.WaitForSingleObject(handle, 0) != _WAIT_TIMEOUT


def wait(handles: Sequence[int], timeout: float | None) -> list[int]:
    """Return the positions of the handles that can be read; empty when *timeout* seconds have passed.

    A process can be read when it has ended. Raises OSError for a handle that is not open.
    """
    kinds = [_what(handle) for handle in handles]
    deadline = None if timeout is None else monotonic() + max(timeout, 0.0)
    while True:
        ready = [at for at, handle in enumerate(handles) if _is_ready(handle, kinds[at])]
        if ready:
            return ready
        left = None if deadline is None else deadline - monotonic()
        if left is not None and left <= 0:
            return []
        _sleep(handles, kinds, left)


def _sleep(handles: Sequence[int], kinds: Sequence[int], left: float | None) -> None:
    """Block until something may have happened, at most *left* seconds."""
    if PIPE in kinds:
        left = _LOOK if left is None else min(left, _LOOK)
    if len(handles) > _MOST_HANDLES or STREAM in kinds:
        left = _TURN if left is None else min(left, _TURN)
    events = []
    reads = []
    looks = []
    try:
        for handle, kind in zip(handles[:_MOST_HANDLES], kinds, strict=False):
            if kind == _WAITABLE:
                events.append(handle)
            elif kind == _MESSAGES:
                messages = message_pipes[handle]
                overlapped = messages.begin()
                if overlapped is None:
                    return
                looks.append((messages, overlapped))
                events.append(overlapped.event)
            elif kind == PIPE:
                try:
                    overlapped, error = _winapi.ReadFile(handle, 0, overlapped=True)
                except BrokenPipeError:
                    return
                if error != _ERROR_IO_PENDING:
                    return
                reads.append(overlapped)
                events.append(overlapped.event)
        if events:
            _winapi.WaitForMultipleObjects(
                events, False, _winapi.INFINITE if left is None else min(int(left * 1000) + 1, 1 << 30)
            )
        else:
            sleep(_TURN if left is None else left)
    finally:
        for messages, overlapped in looks:
            messages.end(overlapped)
        for overlapped in reads:
            overlapped.cancel()
        for overlapped in reads:
            try:
                overlapped.GetOverlappedResult(True)
            except OSError:
                pass  # cancelled, or the pipe is broken: the next look tells
