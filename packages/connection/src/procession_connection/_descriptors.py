"""Descriptors to other processes: one call each way over a Unix socket. On Windows, duplicates of handles."""

from __future__ import annotations

import sys

from procession_core import NotSupportedError

from ._kinds import PACKET

if sys.platform == "win32":
    from ._handles_windows import duplicate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ._connection import Connection

HAVE_SEND_HANDLE = True
_ACKNOWLEDGE = sys.platform == "darwin" or sys.version_info >= (3, 14)
"""On macOS a descriptor in flight is lost when its sender closes its own too early, so the receiver answers with
one byte. CPython's package does that from 3.14 on everywhere, and would miss the byte, or stumble over it."""


def _refusal() -> Exception:
    return NotSupportedError(
        "sockets carry no descriptors on Windows; send_handle() and recv_handle() send handles over a connection"
    )


def sendfds(sock: Any, fds: Sequence[int], acknowledged: bool = _ACKNOWLEDGE) -> None:
    """Send *fds* over the Unix socket *sock*. Blocks while its buffer is full, and from Python 3.14 on until they
    have been received.

    Raises OSError, RuntimeError if something else than the receiver's acknowledgement comes back.
    """
    if sys.platform == "win32":
        raise _refusal()
    import socket
    from array import array

    sock.sendmsg([bytes([len(fds) % 256])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))])
    if acknowledged and sock.recv(1) != b"A":
        raise RuntimeError("did not receive acknowledgement of fd")


def recvfds(sock: Any, size: int, acknowledge: bool = _ACKNOWLEDGE) -> list[int]:
    """Receive *size* descriptors from the Unix socket *sock*. Blocks until they come.

    Raises EOFError at the end of the stream, RuntimeError if the bytes came without that many descriptors.
    """
    if sys.platform == "win32":
        raise _refusal()
    import os
    import socket
    from array import array

    message, ancillary, _, _ = sock.recvmsg(
        1, socket.CMSG_SPACE(size * 4), getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    )
    fds = array("i")
    for level, type_, raw in ancillary:
        if level == socket.SOL_SOCKET and type_ == socket.SCM_RIGHTS:
            fds.frombytes(raw[: len(raw) - len(raw) % 4])
    if not message and not fds:
        raise EOFError
    try:
        if acknowledge:
            sock.send(b"A")
        if len(fds) != size or message[0] != size % 256:
            raise RuntimeError(f"received {len(fds)} descriptors where {size} were expected")
    except BaseException:
        for fd in fds:
            os.close(fd)
        raise
    return list(fds)


class _Borrowed:
    """Context manager: a socket object on a connection's descriptor, which stays the connection's."""

    _sock: Any

    def __init__(self, connection: Connection) -> None:
        if sys.platform == "win32":
            raise _refusal()
        import socket

        kind = connection._kind_now()
        type_ = socket.SOCK_SEQPACKET if kind == PACKET else socket.SOCK_STREAM
        self._sock = socket.socket(socket.AF_UNIX, type_, 0, connection._use_descriptor())

    def __enter__(self) -> Any:
        return self._sock

    def __exit__(self, *_: object) -> None:
        self._sock.detach()


def send_handle(conn: Connection, handle: int, destination_pid: int | None) -> None:
    """Send the descriptor *handle* over *conn*, a connection over a Unix socket. Blocks while its buffer is
    full.

    *destination_pid*, the process that receives it, matters on Windows only, where any connection will do. Raises
    OSError if it cannot carry descriptors, ValueError for no *destination_pid* on Windows.
    """
    if sys.platform == "win32":
        if destination_pid is None:
            raise ValueError(
                "destination_pid is None: on Windows it must be the process that receives the handle"
            )
        conn.send(duplicate(handle, destination_pid))
        return
    with _Borrowed(conn) as sock:
        sendfds(sock, [handle])


def recv_handle(conn: Connection) -> int:
    """Return the descriptor that ``send_handle()`` sent over *conn*. Blocks until it comes.

    Raises RuntimeError if something else came, EOFError at the end of the stream.
    """
    if sys.platform == "win32":
        return _received(conn)
    with _Borrowed(conn) as sock:
        return recvfds(sock, 1)[0]


def _received(conn: Connection) -> int:
    handle = conn.recv()
    if type(handle) is not int:
        raise RuntimeError(f"received {handle!r:.40} where a handle was expected")
    return handle


def give_handle(conn: Connection, handle: int, seconds: float, pid: int) -> None:
    """Send *handle* as the last thing on *conn* to the process *pid*, which may acknowledge it or just close.

    Blocks until it does either, at most *seconds*. Raises OSError.
    """
    if sys.platform == "win32":
        conn.send(duplicate(handle, pid))
    else:
        with _Borrowed(conn) as sock:
            sendfds(sock, [handle], acknowledged=False)
    conn.poll(seconds)


def take_handle(conn: Connection) -> int:
    """Return the descriptor that came as the last thing on *conn*, from a peer that may wait for an answer or not.

    Blocks until it comes. Raises as ``recv_handle()``.
    """
    if sys.platform == "win32":
        return _received(conn)
    with _Borrowed(conn) as sock:
        fd = recvfds(sock, 1, acknowledge=False)[0]
        try:
            sock.send(b"A")
        except OSError:
            pass  # it has closed the connection: it does not ask for it
        return fd
