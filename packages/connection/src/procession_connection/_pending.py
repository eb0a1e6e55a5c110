"""A peer that has connected and has not proved anything yet. Nothing it does blocks the others."""

from __future__ import annotations

from procession_core import AuthenticationError, debug

from . import _framing
from ._handshake import MESSAGE_LIMIT
from ._header import SHORT
from ._quick import MOST
from ._tls import wanted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from typing import Any

    from ._handshake import Handshake
    from ._quick import Standing


class Pending:
    """One half-open connection and how far its handshake has come.

    It owns the socket *sock*, or the descriptor *sock* if no TLS is wanted. With *strict* an end or an error
    of the socket is raised, else it only drops the client. With *server_name* this side is the client of the
    TLS handshake. No byte is read beyond the handshake: what follows belongs to the connection.
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
        "kind",
        "marked",
        "peer",
        "tls",
        "writes",
    )

    def __init__(
        self,
        sock: Any,
        peer: Any,
        handshake: Handshake | None,
        deadline: float | None,
        context: ssl.SSLContext | None = None,
        server_name: str | None = None,
        strict: bool = False,
    ) -> None:
        self._sock: Any = None if context is None else sock
        self.fd: int = sock if context is None else sock.fileno()
        self.peer = peer
        self.deadline = deadline
        self.kind = -1
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

    def resume(self, standing: Standing) -> None:
        """Go on with a handshake that has begun elsewhere."""
        self._handshake, self._incoming, self._reading = standing
        self._started = True

    def detach(self) -> int:
        """Return the descriptor; the caller owns it from now on."""
        fd = self.fd
        self.fd = -1
        return fd

    def close(self) -> None:
        """Drop the client."""
        if self._sock is not None:
            self._sock.close()
        elif self.fd >= 0:
            _framing.close(self.fd)
        self.fd = -1

    def advance(self, readable: bool = True, patient: bool = False) -> bool | None:
        """Go on as far as possible: True when through, False to wait, None when dropped.

        Without *patient* it does not block, if *readable* says truly that the descriptor is.

        Raises AuthenticationError, with the client closed, for a wrong answer.
        """
        try:
            return self._advance(readable, patient)
        except AuthenticationError:
            try:
                self._flush()  # the verdict
            except OSError:  # whoever it was has not waited for it
                pass
            self.close()
            raise
        except (EOFError, OSError) as error:
            wish = wanted(error)
            if wish:
                self.writes = wish == "write" or bool(self._outgoing)
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

    def _advance(self, readable: bool, patient: bool) -> bool:
        if self._context is not None:
            self._sock.setblocking(False)
            self.tls = self._sock = self._context.wrap_socket(
                self._sock,
                server_side=self._server_name is None,
                server_hostname=self._server_name,
                do_handshake_on_connect=False,
            )
            self._context = None
            self._encrypting = True
        if self._encrypting:
            self.tls.do_handshake()
            self._encrypting = False
        if self._handshake is not None:
            try:
                if not self._talk(self._handshake, readable, patient):
                    return False
            except StopIteration as stop:
                if self._incoming:
                    raise OSError(
                        "bad message length: the other side goes on before the handshake is over"
                    ) from None
                self.marked = bool(stop.value)
                self._handshake = None
        self._flush()
        return True

    def _talk(self, handshake: Handshake, readable: bool, patient: bool) -> bool:
        """Run the handshake until it ends, by StopIteration, or this side has to wait: False."""
        if not self._started:
            self._started = True
            self._put(next(handshake))
        while True:
            if not self._reading:
                self._put(next(handshake))
                continue
            incoming = self._incoming
            end = 4 + self._reading
            if len(incoming) >= 4:
                size: int = SHORT.unpack_from(incoming)[0]
                if not 0 <= size <= self._reading:
                    raise OSError(
                        f"bad message length: {size} in the handshake, at most {self._reading} is allowed"
                    )
                end = 4 + size
                if len(incoming) >= end:
                    self._incoming = incoming[end:]
                    self._put(handshake.send(incoming[4:end]))
                    continue
            # Only when it has to wait: what was to be said meanwhile goes in one packet.
            if self._outgoing:
                self._flush()
                self.writes = False
            # Nothing can follow a long message before it is answered. A short one is a verdict; after the last one the
            # other side may go on at once, and of that not a byte may be taken.
            room = MOST if self._reading == MESSAGE_LIMIT else end - len(incoming)
            if self.tls is not None:
                data = self.tls.recv(room)
            elif readable or patient:
                readable = False
                data = _framing.read(self.fd, room)
            else:
                return False
            if not data:
                raise EOFError("the other side closed the connection during the handshake")
            self._incoming += data

    def _flush(self) -> None:
        # A few hundred bytes on a fresh socket: its buffer takes them.
        while self._outgoing:
            outgoing = self._outgoing
            sent = _framing.write(self.fd, outgoing) if self.tls is None else self.tls.send(outgoing)
            self._outgoing = outgoing[sent:]

    def _put(self, step: bytes | int) -> None:
        if isinstance(step, int):
            self._reading = step
        else:
            self._reading = 0
            self._outgoing += SHORT.pack(len(step)) + step
