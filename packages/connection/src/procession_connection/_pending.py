"""A peer that has connected and has not proved anything yet. Nothing it does blocks."""

from __future__ import annotations

import sys

from procession_core import AuthenticationError, debug

from ._framing_portable import SHORT
from ._kinds import STREAM
from ._tls import wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

    from ._handshake import Handshake

DONTWAIT = 0x40 if sys.platform.startswith("linux") else 0x80  # MSG_DONTWAIT


class Pending:
    """One half-open connection and how far its handshake has come.

    With *strict* an end or an error of the socket is raised, else it only drops the client. With
    *server_name* this side is the client of the TLS handshake. No byte is read beyond the handshake: what
    follows belongs to the connection.
    """

    __slots__ = (
        "_context",
        "_encrypting",
        "_handshake",
        "_incoming",
        "_outgoing",
        "_reading",
        "_server_name",
        "_sock",
        "_started",
        "_strict",
        "deadline",
        "fd",
        "marked",
        "peer",
        "tls",
        "writes",
    )

    def __init__(
        self,
        sock: Any,
        peer: Any,
        kind: int,
        handshake: Handshake | None,
        deadline: float | None,
        context: ssl.SSLContext | None,
        server_name: str | None = None,
        strict: bool = False,
    ) -> None:
        self._sock = sock
        self.fd: int = sock.fileno()
        self.peer = peer
        self.deadline = deadline
        self.marked = False
        self.writes = False
        self._handshake = handshake
        self._incoming = b""
        self._outgoing = b""
        self._reading = 0
        self._started = self._encrypting = False
        self._context = context
        self._server_name = server_name
        self._strict = strict
        self.tls: Any = None
        if kind == STREAM:
            import socket

            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def detach(self) -> int:
        """Return the descriptor; the caller owns it from now on."""
        return int(self._sock.detach())

    def close(self) -> None:
        """Drop the client."""
        self._sock.close()

    def advance(self) -> bool | None:
        """Go on as far as possible without blocking: True when through, False to wait, None when dropped.

        Raises AuthenticationError, with the client closed, for a wrong answer.
        """
        try:
            return self._advance()
        except AuthenticationError:
            self.close()
            raise
        except (EOFError, OSError) as error:
            wish = wanted(error)
            if wish:
                self.writes = wish == "write" or (self.tls is None and bool(self._outgoing))
                return False
            if self._strict:
                self.close()
                raise
            debug("listener drops a client during the handshake: %r", error)
        except BaseException:
            self.close()
            raise
        self.close()
        return None

    def _advance(self) -> bool:
        sock = self._sock
        context = self._context
        if context is not None:
            sock.setblocking(False)
            self.tls = self._sock = sock = context.wrap_socket(
                sock,
                server_side=self._server_name is None,
                server_hostname=self._server_name,
                do_handshake_on_connect=False,
            )
            self._context = None
            self._encrypting = True
        if self._encrypting:
            sock.do_handshake()
            self._encrypting = False
        handshake = self._handshake
        if handshake is None:
            return True
        # A TLS socket is non-blocking itself and takes no flags.
        flags = () if self.tls is not None else (DONTWAIT,)
        try:
            if not self._started:
                self._started = True
                self._put(next(handshake))
            while True:
                if self._outgoing:
                    try:
                        while self._outgoing:
                            self._outgoing = self._outgoing[sock.send(self._outgoing, *flags) :]
                    except OSError as error:
                        if wanted(error) is None:
                            handshake.throw(error)
                        raise
                    if self._reading and self.tls is None:
                        self.writes = False
                        return False  # the other side has to think first
                if not self._reading:
                    self._put(next(handshake))
                    continue
                while (missing := self._missing()) > 0:
                    data = sock.recv(missing, *flags)
                    if not data:
                        raise EOFError("the other side closed the connection during the handshake")
                    self._incoming += data
                message, self._incoming = self._incoming[4:], b""
                self._put(handshake.send(message))
        except StopIteration as stop:
            self.marked = bool(stop.value)
            self._handshake = None
            return True

    def _put(self, step: bytes | int) -> None:
        if isinstance(step, int):
            self._reading = step
        else:
            self._reading = 0
            self._outgoing += SHORT.pack(len(step)) + step

    def _missing(self) -> int:
        # How much may be read now. The two sides take turns, so nothing can follow a message before it has been
        # answered; where that does not hold the handshake has told the exact size.
        incoming = self._incoming
        have = len(incoming)
        if have < 4:
            return 4 + self._reading - have
        size: int = SHORT.unpack_from(incoming)[0]
        if not 0 <= size <= self._reading or have > 4 + size:
            raise OSError(f"bad message length: {size} in the handshake, at most {self._reading} is allowed")
        return 4 + size - have
