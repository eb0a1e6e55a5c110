"""Connections over TLS. The record layer keeps state in this process, so they cannot be sent or shared."""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic

from . import _framing
from ._async import missing, until
from ._connection import Connection
from ._header import LONG, SHORT, TRUNCATED, header
from ._kinds import STREAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NO_TLS = (
    "ssl is for TCP; a Unix socket is protected by its directory and by authkey, a pipe of Windows by authkey"
)
_PIECE = 1 << 18


def wanted(error: BaseException) -> str | None:
    """Return "read" or "write" if *error* says that the socket has to wait for that, else None."""
    if isinstance(error, BlockingIOError):
        return "read"
    number = getattr(error, "errno", None)
    # By name: the ssl module is imported only by those who use it.
    name = type(error).__name__
    if number == 2 and name == "SSLWantReadError":
        return "read"
    if number == 3 and name == "SSLWantWriteError":
        return "write"
    return None


def _no_plain(fd: int, kind: int, obj: object) -> bool:
    return False  # every object is work for a pickler


class TLSConnection(Connection):
    """A connection over an ``ssl.SSLSocket``, which it owns."""

    def __init__(self, tls: Any, link: int, unpickler: Callable[..., Any] | None = None) -> None:
        super().__init__(tls.fileno())
        tls.setblocking(False)
        self._tls = tls
        self._kind = STREAM
        self._link = link
        self._unpickler = unpickler
        self._buffer = bytearray()
        self._ended = False
        # OpenSSL allows one call at a time on a connection; nobody waits while holding this.
        self._lock = allocate_lock()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a TLS connection cannot be pickled: its keys live in this process; connect once more over there"
        )

    @property
    def tls(self) -> Any:
        """The ``ssl.SSLSocket``, to look at ``getpeercert()``, ``version()`` and ``cipher()``."""
        return self._tls

    def _close(self, handle: int) -> None:
        self._tls.close()

    def _pause(self, wish: str, timeout: float | None) -> None:
        if wish == "read":
            _framing.poll(self.fileno(), timeout)
        else:
            import select

            select.select([], [self.fileno()], [], timeout)

    _encrypted = True
    _send_plain = staticmethod(_no_plain)

    async def _wait_message(self) -> None:
        while not self._ended and missing(self._buffer):
            if not self._read_some():
                await until(self.fileno(), writing=False)

    async def _send_slowly(self, view: memoryview) -> None:
        started = False
        try:
            for piece in self._pieces(view):
                while piece:
                    try:
                        with self._lock:
                            done = self._tls.send(piece)
                    except OSError as error:
                        wish = wanted(error)
                        if wish is None:
                            raise
                        await until(self.fileno(), writing=wish == "write")
                    else:
                        started = True
                        piece = piece[done:]
        except BaseException:
            if started:
                self.close()
            raise

    def _send(self, handle: int, kind: int, data: Any) -> None:
        view = memoryview(data)
        for piece in self._pieces(view):
            while piece:
                try:
                    with self._lock:
                        done = self._tls.send(piece)
                except OSError as error:
                    wish = wanted(error)
                    if wish is None:
                        raise
                    self._pause(wish, None)
                else:
                    piece = piece[done:]

    def _send_now(self, piece: memoryview) -> int:
        # Bytes of *piece* that went without waiting; the next call has to begin with the rest.
        try:
            with self._lock:
                return int(self._tls.send(piece))
        except OSError as error:
            if wanted(error) is None:
                raise
            return 0

    @staticmethod
    def _pieces(view: memoryview) -> list[memoryview]:
        start = header(len(view))
        # Small messages go out in one record.
        return [memoryview(start + view)] if len(view) <= 16000 else [memoryview(start), view]

    def _read_some(self) -> bool:
        # Takes what has arrived; False if the socket has to be waited for.
        try:
            with self._lock:
                data = self._tls.recv(_PIECE)
        except OSError as error:
            wish = wanted(error)
            if wish is None:
                raise
            return False
        if data:
            self._buffer += data
        else:
            self._ended = True
        return True

    def _has_input(self) -> bool:
        return bool(self._buffer) or self._ended or self._read_some()

    def _need(self, size: int, started: bool) -> None:
        while len(self._buffer) < size:
            if self._ended:
                if started or self._buffer:
                    raise OSError(TRUNCATED)
                raise EOFError
            if not self._read_some():
                _framing.poll(self.fileno(), None)

    def _cut(self, size: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    def _recv(self, handle: int, kind: int, limit: int) -> bytes | None:
        self._need(4, False)
        size: int = SHORT.unpack(self._cut(4))[0]
        if size == -1:
            self._need(8, True)
            size = LONG.unpack(self._cut(8))[0]
        elif size < 0:
            raise OSError(f"bad message length: {size}")
        if 0 <= limit < size:
            return None
        self._need(size, True)
        return self._cut(size)

    def _recv_into(self, handle: int, kind: int, room: memoryview) -> int | bytes:
        data = self._recv(handle, kind, -1) or b""
        if len(data) > len(room):
            return data
        room[: len(data)] = data
        return len(data)

    def _poll(self, handle: int, timeout: float | None) -> bool:
        deadline = None if timeout is None else monotonic() + max(timeout, 0.0)
        while not self._has_input():
            # Records without a message (session tickets) make the socket readable too.
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if not _framing.poll(handle, left) and deadline is not None and monotonic() >= deadline:
                return False
        return True
