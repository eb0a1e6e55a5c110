"""Frames by plain reads and writes of the os module; descriptors by the socket module."""

from __future__ import annotations

import os
import select
import sys
from time import monotonic

if sys.platform == "win32":
    raise ImportError("procession_connection._framing_portable needs POSIX; _framing_windows is its sibling")

from ._header import LONG, SHORT, TRUNCATED, header
from ._kinds import PACKET, PIPE, STREAM, UNIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_JOIN_LIMIT = 16384
"""Up to this size the header and the payload are copied together for one write; CPython does the same."""
_READ_LIMIT = 1 << 20
_MOST_GROWTH = 1 << 28
_MAX_FDS = 253
"""What Linux carries beside one byte (SCM_MAX_FD)."""
_POLL_READ = select.POLLIN | select.POLLPRI if hasattr(select, "poll") else 0


def _around(fd: int, family: int = -1, type: int = -1) -> Any:
    """Return a socket object for *fd*, to be detached. Raises OSError if it is no socket."""
    import socket

    sock = socket.socket(family, type, -1, fd)
    if socket.getdefaulttimeout() is not None:
        # The program's default is for its own sockets; a new object has just made the descriptor non-blocking.
        sock.settimeout(None)
    return sock


def kind_of(fd: int) -> int:
    """Return the kind of *fd*. Raises OSError if it is not open."""
    import socket

    try:
        sock = _around(fd)
    except OSError:
        os.fstat(fd)  # raises for a descriptor that is not open
        return PIPE
    try:
        if sock.family != getattr(socket, "AF_UNIX", None):
            return STREAM
        return PACKET if sock.type == getattr(socket, "SOCK_SEQPACKET", None) else UNIX
    finally:
        sock.detach()


def _write_all(fd: int, view: memoryview) -> None:
    while view:
        try:
            written = os.write(fd, view)
        except BlockingIOError:
            select.select([], [fd], [])
            continue
        view = view[written:]


def _as_bytes(data: Any) -> memoryview:
    view = memoryview(data)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def send(fd: int, kind: int, data: Any) -> None:
    """Write one frame. Blocks while the other end does not read. Raises OSError (BrokenPipeError)."""
    view = _as_bytes(data)
    size = len(view)
    if size <= _JOIN_LIMIT or kind == PACKET:
        _write_all(fd, memoryview(header(size) + view))
    else:
        _write_all(fd, memoryview(header(size)))
        _write_all(fd, view)


def send_plain(fd: int, kind: int, obj: object) -> bool:
    """Say that every object is work for a pickler."""
    return False


def send_fds(fd: int, kind: int, data: Any, fds: Sequence[int]) -> None:
    """Write one frame with *fds* beside its first byte. Raises OSError, ValueError for too many
    descriptors."""
    import socket
    from array import array

    if len(fds) > _MAX_FDS:
        raise ValueError(
            f"{len(fds)} descriptors in one message; at most {_MAX_FDS} can be sent, use several"
        )
    view = _as_bytes(data)
    start = header(len(view))
    joined = len(view) <= _JOIN_LIMIT
    first = start + view if joined else start
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))]
    sock = _around(fd, socket.AF_UNIX, _socket_type(kind))
    try:
        written = sock.sendmsg([first], ancillary)
    finally:
        sock.detach()
    _write_all(fd, memoryview(first)[written:])
    if not joined:
        _write_all(fd, view)


def _socket_type(kind: int) -> int:
    import socket

    return socket.SOCK_SEQPACKET if kind == PACKET else socket.SOCK_STREAM


def _read(fd: int, size: int) -> bytes:
    while True:
        try:
            return os.read(fd, size)
        except BlockingIOError:
            select.select([fd], [], [])


def _exactly(fd: int, size: int, started: bool) -> Any:
    # Small messages come in one read. Large ones go into one buffer, which grows as they come: the size is what the
    # other end says, and making a bytearray writes to all of its memory.
    if size <= _READ_LIMIT:
        data = _read(fd, size) if size else b""
        if len(data) == size:
            return data
        if not data:
            _ended(started)
        buffer = bytearray(size)
        buffer[: len(data)] = data
        done = len(data)
    else:
        buffer = bytearray(_READ_LIMIT)
        done = 0
    while True:
        _fill(fd, buffer, done, len(buffer))
        done = len(buffer)
        if done == size:
            return buffer
        buffer.extend(bytes(min(done, size - done, _MOST_GROWTH)))


def _fill(fd: int, buffer: Any, done: int, end: int) -> None:
    while done < end:
        # Both views are released here and not by their destructors: PyPy runs those later, when the buffer must grow.
        with memoryview(buffer) as whole, whole[done:end] as rest:
            try:
                got = os.readv(fd, [rest])
            except BlockingIOError:
                got = -1
        if got < 0:
            select.select([fd], [], [])
        elif got:
            done += got
        else:
            _ended(True)


def _ended(started: bool) -> None:
    if started:
        raise OSError(TRUNCATED)
    raise EOFError


def _size(fd: int, start: bytes | None = None) -> int:
    if start is None:
        start = _exactly(fd, 4, False)
    size: int = SHORT.unpack(start)[0]
    if size == -1:
        size = LONG.unpack(_exactly(fd, 8, True))[0]
        if size > 1 << 62:
            raise OSError(f"bad message length: {size}")
    elif size < 0:
        raise OSError(f"bad message length: {size}")
    return size


def recv(fd: int, kind: int, limit: int) -> bytes | None:
    """Return the next message, or None if it is longer than *limit*. Blocks. Raises EOFError, OSError."""
    size = _size(fd)
    if 0 <= limit < size:
        return None
    data = _exactly(fd, size, True)
    return data if type(data) is bytes else bytes(data)


def recv_fds(fd: int, kind: int) -> bytes | tuple[bytes, list[int]]:
    """Return the next message, in a tuple with the descriptors that came with it, if any.

    Blocks. Raises EOFError, OSError.
    """
    fds: list[int] | None = None
    if kind not in (UNIX, PACKET):
        return _exactly(fd, _size(fd), True)  # type: ignore[no-any-return]
    import socket
    from array import array

    sock = _around(fd, socket.AF_UNIX, _socket_type(kind))
    try:
        room = socket.CMSG_SPACE(_MAX_FDS * 4)
        while True:
            try:
                start, ancillary, _flags, _address = sock.recvmsg(
                    4, room, getattr(socket, "MSG_CMSG_CLOEXEC", 0)
                )
                break
            except BlockingIOError:
                select.select([fd], [], [])
    finally:
        sock.detach()
    for level, type_, raw in ancillary:
        if level == socket.SOL_SOCKET and type_ == socket.SCM_RIGHTS:
            found = array("i")
            found.frombytes(raw[: len(raw) - len(raw) % 4])
            fds = [*(fds or ()), *found]
    try:
        if not start:
            raise EOFError
        if len(start) < 4:
            start += bytes(_exactly(fd, 4 - len(start), True))
        for found_fd in fds or ():
            os.set_inheritable(found_fd, False)
        data = _exactly(fd, _size(fd, start), True)
        return data if fds is None else (data, fds)
    except BaseException:
        for found_fd in fds or ():
            os.close(found_fd)
        raise


def recv_into(fd: int, kind: int, buffer: Any) -> int | bytes:
    """Read the next message into *buffer* and return its length; return the message if it does not fit."""
    size = _size(fd)
    if size > len(buffer):
        return bytes(_exactly(fd, size, True))
    _fill(fd, buffer, 0, size)
    return size


def read_soon(fd: int, size: int, timeout: float) -> bytes | None:
    """Say that nothing has come: looking again and again is not for Python code."""
    return None


def poll(fd: int, timeout: float | None) -> bool:
    """Say whether *fd* can be read within *timeout* seconds."""
    return bool(wait([fd], timeout))


def wait(fds: Sequence[int], timeout: float | None) -> list[int]:
    """Return the positions of the descriptors that can be read; empty when *timeout* seconds have passed.

    The end of a stream and an error can be read. Raises OSError for a descriptor that is not open, ValueError for
    a negative number.
    """
    for fd in fds:
        if fd < 0:
            raise ValueError(
                f"Invalid file descriptor: {fd}; it must be 0 or more, so wait for open objects only"
            )
    if not hasattr(select, "poll"):
        ready = select.select(list(fds), [], [], timeout)[0]
        return [position for position, fd in enumerate(fds) if fd in ready]
    poller = select.poll()
    for fd in fds:
        poller.register(fd, _POLL_READ)
    deadline = None if timeout is None else monotonic() + max(timeout, 0.0)
    while True:
        left = None if deadline is None else max(0.0, (deadline - monotonic()) * 1000)
        # One call waits for less than 25 days: the kernel takes an int of milliseconds.
        events = dict(poller.poll(left if left is None or left < 2**31 - 1 else 2**31 - 1))
        for fd, event in events.items():
            if event & select.POLLNVAL:
                raise OSError(9, f"{os.strerror(9)}: descriptor {fd} is not open")
        if events or (deadline is not None and monotonic() >= deadline):
            return [position for position, fd in enumerate(fds) if fd in events]
