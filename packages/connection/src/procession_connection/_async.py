"""Frames without blocking an asyncio loop, and without a thread for each wait."""

from __future__ import annotations

import os
import sys

from procession_core import NotSupportedError

from ._header import LONG, SHORT, TRUNCATED, header
from ._kinds import PACKET, PIPE, STREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._connection import Connection

_PIECE = 1 << 18
"""At least the largest packet that the C core writes."""
_PIPE_PIECE = 4096
"""A pipe that can be written at all takes this much without blocking (PIPE_BUF)."""
_PACKET_PIECE = 1 << 16
_FD_ROOM = 253


async def until(fd: int, writing: bool) -> None:
    """Wait until *fd* can be read, or written."""
    from asyncio import get_running_loop

    loop = get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(fd, wake)
    try:
        await ready
    finally:
        remove(fd)


def refusal() -> Exception:
    """Return the error of what is awaited on Windows."""
    return NotSupportedError("connections cannot be awaited on Windows; call recv() and send() in a thread")


class _Ends:
    """Reads and writes on one connection that never block: they raise BlockingIOError instead."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.fd = connection._use_descriptor()
        self.kind = connection._kind_now()
        self.fds: list[int] | None = None

    def _socket(self) -> Any:
        if sys.platform == "win32":
            raise refusal()
        import socket

        type_ = socket.SOCK_SEQPACKET if self.kind == PACKET else socket.SOCK_STREAM
        family = socket.AF_INET if self.kind == STREAM else socket.AF_UNIX
        return socket.socket(family, type_, 0, self.fd)

    def read(self, size: int) -> bytes:
        if sys.platform == "win32":
            raise refusal()
        frames = self.connection._frames
        if frames is not None:
            here: bytes = frames.take(size)
            if here:
                return here
        if self.kind == PIPE:
            import select

            poller = select.poll()
            poller.register(self.fd, select.POLLIN)
            if not poller.poll(0):
                raise BlockingIOError
            return os.read(self.fd, size)
        import socket

        sock = self._socket()
        try:
            if self.kind == STREAM:
                data: bytes = sock.recv(size, socket.MSG_DONTWAIT)
                return data
            flags = socket.MSG_DONTWAIT | getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_SPACE(_FD_ROOM * 4), flags)
        finally:
            sock.detach()
        from array import array

        for level, type_, raw in ancillary:
            if level == socket.SOL_SOCKET and type_ == socket.SCM_RIGHTS:
                found = array("i")
                found.frombytes(raw[: len(raw) - len(raw) % 4])
                self.fds = [*(self.fds or ()), *found]
        return data

    def write(self, view: memoryview, fds: list[int]) -> int:
        if sys.platform == "win32":
            raise refusal()
        if self.kind == PIPE:
            import select

            poller = select.poll()
            poller.register(self.fd, select.POLLOUT)
            if not poller.poll(0):
                raise BlockingIOError
            return os.write(self.fd, view[:_PIPE_PIECE])
        import socket

        sock = self._socket()
        try:
            if fds:
                from array import array

                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))]
                return int(sock.sendmsg([view], ancillary, socket.MSG_DONTWAIT))
            return int(sock.send(view, socket.MSG_DONTWAIT))
        finally:
            sock.detach()


async def receive_frame(connection: Connection) -> tuple[bytes, list[int] | None]:
    """Return the next message and the descriptors beside it. Raises EOFError, OSError."""
    if connection._encrypted:
        await connection._wait_message()
        return connection._recv(connection.fileno(), connection._kind, -1) or b"", None
    ends = _Ends(connection)
    buffer = bytearray()
    try:
        while True:
            rest = missing(buffer)
            if not rest:
                break
            try:
                data = ends.read(max(rest, _PIECE) if ends.kind == PACKET else min(rest, 1 << 20))
            except BlockingIOError:
                await until(ends.fd, writing=False)
                continue
            if not data:
                if buffer:
                    raise OSError(TRUNCATED)
                raise EOFError
            buffer += data
    except BaseException:
        for fd in ends.fds or ():
            os.close(fd)
        if buffer:  # the rest of the message would be taken for the next one
            connection.close()
        raise
    return bytes(memoryview(buffer)[_start(buffer) :]), ends.fds


def _start(buffer: bytearray) -> int:
    return 12 if buffer[:4] == b"\xff\xff\xff\xff" else 4


def missing(buffer: bytearray) -> int:
    """Return how many bytes the frame that begins in *buffer* still lacks, as far as is known."""
    have = len(buffer)
    if have < 4:
        return 4 - have
    size: int = SHORT.unpack_from(buffer)[0]
    if size >= 0:
        return 4 + size - have
    if size != -1:
        raise OSError(f"bad message length: {size}")
    if have < 12:
        return 12 - have
    return 12 + int(LONG.unpack_from(buffer, 4)[0]) - have


async def send_frame(connection: Connection, data: bytes, fds: list[int]) -> None:
    """Write one frame, with *fds* beside its first byte. Raises OSError."""
    view = memoryview(data)
    if connection._encrypted:
        await connection._send_slowly(view)
        return
    ends = _Ends(connection)
    if ends.kind == PACKET and len(data) > _PACKET_PIECE:
        pieces = [memoryview(header(len(data)))]
        pieces += [view[at : at + _PACKET_PIECE] for at in range(0, len(data), _PACKET_PIECE)]
    else:
        pieces = [memoryview(header(len(data)) + view)]
    started = False
    try:
        for piece in pieces:
            while piece:
                try:
                    done = ends.write(piece, fds)
                except BlockingIOError:
                    await until(ends.fd, writing=True)
                    continue
                started = True
                fds = []
                piece = piece[done:]
    except BaseException:
        if started:
            connection.close()
        raise
