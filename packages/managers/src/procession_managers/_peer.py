"""A connection as the server sees it. Nothing here blocks: what cannot be written waits in the outbox."""

from __future__ import annotations

import sys
from struct import Struct

from ._protocol import NOTE, PROTOCOL
from ._transit import ManagerTransfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._objects import Lease
    from ._wait import Wait
    from ._workers import Worker

_SHORT = Struct("!i")
_LONG = Struct("!Q")
DONTWAIT = 0x40 if sys.platform.startswith("linux") else 0x80
_PIECE = 1 << 16
_JOIN = 1 << 14
_TLS_PIECE = 1 << 18
_MOST_RECORDS = 32
_MOST_SKIPPED = 1 << 33
MOST_NOTED = 1 << 24
"""Notes are the library's own, and have no answer that could say that they are too long."""


class TooLong(Exception):
    """A message is longer than the server allows."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"message of {size} bytes; max_message allows {limit}: send less at once, or raise it"
        )


class Peer:
    """One connection. It is also the caller that the referents see: a thread of a client process."""

    __slots__ = (
        "_buffer",
        "_connection",
        "_limit",
        "_missing",
        "_skip",
        "accepted",
        "address",
        "backlog",
        "busy",
        "closed",
        "codec",
        "fd",
        "home",
        "identity",
        "key",
        "lane",
        "last",
        "lease",
        "marked",
        "next_lane",
        "outbox",
        "recv",
        "sock",
        "transfer",
        "wait",
    )

    def __init__(
        self, connection: Any, marked: bool, codec: Any, transfer: ManagerTransfer, limit: int
    ) -> None:
        import socket

        self._connection = connection
        self.fd: int = connection.fileno()
        self.sock = socket.socket(fileno=self.fd)
        self.recv = self.sock.recv
        self.marked = marked
        self.codec = codec
        self.transfer = transfer
        self._limit = limit
        self._buffer = bytearray()
        self._missing = 0
        self._skip = 0
        self.accepted = False
        self.busy = False
        self.closed = False
        self.backlog: list[bytes] = []
        self.outbox = bytearray()
        self.wait: Wait | None = None
        self.lease: Lease | None = None
        self.home: Worker | None = None
        self.identity: object = object()
        self.last: Any = None
        self.lane: Any = None
        self.next_lane: Any = None
        self.key = b""

    def fill(self) -> bytes | list[bytes | TooLong] | None:
        """Read what has arrived: a message, several, an empty list for none yet, None at the end.

        A message beyond the limit is skipped as it arrives, and stands there as an exception.

        Raises OSError when the connection is broken, TooLong for a message that is too long even to be skipped.
        """
        try:
            data = self.recv(max(self._missing, _PIECE), DONTWAIT)
        except BlockingIOError:
            return []
        if not data:
            return None
        if not self._buffer and len(data) >= 4 and not self._skip:
            size = _SHORT.unpack_from(data)[0]
            if size == len(data) - 4 and size <= self._limit:
                return data[4:]
        return self.split(data)

    def split(self, data: bytes) -> list[bytes | TooLong]:
        """Add *data* to what was read before and return the messages that are complete now."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        buffer = self._buffer
        buffer += data
        found: list[bytes | TooLong] = []
        while len(buffer) >= 4:
            start = 4
            size = _SHORT.unpack_from(buffer)[0]
            if size == -1:
                if len(buffer) < 12:
                    break
                start = 12
                size = _LONG.unpack_from(buffer, 4)[0]
            if size < 0:
                raise OSError(f"bad message length: {size}")
            if size > self._limit and len(buffer) == start:
                break
            if size > self._limit and not (size <= MOST_NOTED and self.marked and buffer[start] == NOTE):
                if size > _MOST_SKIPPED or (self.marked and buffer[start] == NOTE):
                    raise TooLong(size, self._limit)
                # The client writes all of it before it reads, and loses nothing but this call.
                found.append(TooLong(size, self._limit))
                there = min(size, len(buffer) - start)
                self._skip = size - there
                del buffer[: start + there]
                continue
            if len(buffer) < start + size:
                # One big read instead of many small ones, yet no room for what was only announced.
                self._missing = min(start + size - len(buffer), 1 << 20)
                return found
            found.append(bytes(memoryview(buffer)[start : start + size]))
            del buffer[: start + size]
        self._missing = 0
        return found

    def write(self, data: bytes) -> bool:
        """Send one message, or as much as goes; False if the rest had to be kept. Raises OSError."""
        size = len(data)
        if self.outbox:
            self.outbox += _header(size)
            self.outbox += data
            return False
        try:
            if size <= _JOIN:
                frame = _SHORT.pack(size) + data
                done = self.sock.send(frame, DONTWAIT)
                if done == size + 4:
                    return True
                self.outbox += frame[done:]
                return False
            head = _header(size)
            done = self.sock.sendmsg((head, data), (), DONTWAIT)
        except BlockingIOError:
            done = 0
            head = _header(size)
        if done == size + len(head):
            return True
        self.outbox += head[done:]
        self.outbox += memoryview(data)[max(0, done - len(head)) :]
        return False

    def gone(self) -> bool:
        """Say whether the client has closed the connection, as far as is known now."""
        if self.closed:
            return True
        try:
            return not self.recv(1, DONTWAIT | 2)  # MSG_PEEK
        except BlockingIOError:
            return False
        except OSError:
            return True

    def drain(self) -> bool:
        """Write more of the outbox; True when it is empty. Raises OSError."""
        while self.outbox:
            try:
                with memoryview(self.outbox) as view:
                    done = self.sock.send(view[: 1 << 20], DONTWAIT)
            except BlockingIOError:
                return False
            del self.outbox[:done]
        return True

    def close(self) -> None:
        """Close the connection."""
        if not self.closed:
            self.closed = True
            self.sock.detach()
            self._connection.close()
            self.last = self.lane = self.next_lane = None
            self.backlog.clear()
            if self.home is not None:
                self.home.give(None)
                self.home = None


class EncryptedPeer(Peer):
    """A connection over TLS."""

    __slots__ = ()

    def fill(self) -> bytes | list[bytes | TooLong] | None:
        """As Peer does."""
        connection = self._connection
        # Not all at once from who sends without end. OpenSSL takes record by record from the socket, so what is left
        # there makes it readable again.
        for _ in range(_MOST_RECORDS):
            if not connection._read_some() or connection._ended:
                break
        data = bytes(connection._buffer)
        connection._buffer.clear()
        if not data and connection._ended:
            return None
        return self.split(data)

    def write(self, data: bytes) -> bool:
        """As Peer does."""
        # Everything through the outbox: OpenSSL wants a record that did not fit offered again as it was.
        self.outbox += _header(len(data))
        self.outbox += data
        return self.drain()

    def drain(self) -> bool:
        """As Peer does."""
        while self.outbox:
            with memoryview(self.outbox) as view, view[:_TLS_PIECE] as piece:
                done = self._connection._send_now(piece)
            if not done:
                return False
            del self.outbox[:done]
        return True


def _header(size: int) -> bytes:
    return _SHORT.pack(size) if size <= 0x7FFFFFFF else _SHORT.pack(-1) + _LONG.pack(size)


class PickleCodec:
    """Pickles: of this library's own names for a marked peer, of CPython's for others."""

    __slots__ = ("_dumps", "loads")
    binary = True

    def __init__(self, dumps: Any, loads: Any) -> None:
        self._dumps = dumps
        self.loads = loads

    def dumps(self, obj: object) -> bytes:
        """Return the pickle of *obj*."""
        data: bytes = self._dumps(obj, PROTOCOL)
        return data


class XmlCodec:
    """XML-RPC."""

    binary = False

    @staticmethod
    def loads(data: bytes) -> Any:
        """Return the value that *data* describes."""
        import xmlrpc.client

        (value,), _ = xmlrpc.client.loads(data.decode("utf-8"), use_builtin_types=True)
        return value

    @staticmethod
    def dumps(obj: object) -> bytes:
        """Return *obj* as XML."""
        import xmlrpc.client

        value: Any = (obj,)
        return xmlrpc.client.dumps(value, allow_none=True).encode("utf-8")
