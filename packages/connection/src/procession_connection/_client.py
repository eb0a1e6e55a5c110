"""Client: connects to a Listener."""

from __future__ import annotations

from time import monotonic

from procession_core import TimeoutError, check_timeout  # noqa: A004 - the documented name

from ._address import address_type, check_family, reachable
from ._connection import Connection, make
from ._handshake import connecting, drive, key_for
from ._kinds import MARKED, STREAM, UNIX, WIRE
from ._pending import Pending
from ._tls import TLSConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any


def Client(
    address: Any,
    family: str | None = None,
    authkey: Any = None,
    *old_authkey: Any,
    authenticate: bool | None = None,
    ssl: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    unpickler: Callable[..., Any] | None = None,
    timeout: float | None = None,
) -> Connection:
    """Connect to the listener at *address* and return the connection. Blocks until the listener has accepted.

    With *authkey* (bytes), or with *authenticate* and the key of this process, both sides prove that they
    know it. *ssl* is an ``ssl.SSLContext`` for TLS; *server_hostname* the name that the certificate must bear
    (the host of *address* by default). *unpickler* turns received bytes into objects (see ``allow()``).

    Raises OSError if nobody listens there, AuthenticationError if one side does not know the key, EOFError if
    the listener closes the connection before that is settled, TimeoutError after *timeout* seconds (None for
    ever), ValueError and TypeError as Listener does.
    """
    # Until 2012 the third argument was `authenticate` and the fourth the key.
    if isinstance(authkey, bool) or old_authkey:
        if len(old_authkey) > 1:
            raise TypeError("Client takes at most an address, a family and a key")
        authenticate, authkey = bool(authkey), (old_authkey[0] if old_authkey else None)
    key = key_for(authkey, authenticate)
    if family is None:
        family = address_type(address)
    check_family(family)
    if ssl is not None and family == "AF_UNIX":
        raise ValueError("ssl is for TCP; a Unix socket is protected by its directory and by authkey")
    seconds = check_timeout(timeout)
    deadline = None if seconds is None else monotonic() + max(seconds, 0.0)

    import socket

    kind = UNIX if family == "AF_UNIX" else STREAM
    sock = socket.socket(getattr(socket, family), socket.SOCK_STREAM)
    try:
        if seconds is not None:
            sock.settimeout(max(seconds, 0.001))
        with reachable(address) as short:
            sock.connect(short)
        if seconds is not None:
            sock.setblocking(True)
        if ssl is None and deadline is None:
            if kind == STREAM:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _prove(make(sock.detach(), kind, WIRE, unpickler=unpickler), key)
        name = (server_hostname or address[0]) if ssl is not None else None
        handshake = None if key is None else connecting(key)
        peer = Pending(sock, address, kind, handshake, deadline, ssl, name, True)
        if not peer.advance():
            _finish(peer, deadline)
    except OSError as error:
        sock.close()
        if seconds is not None and type(error).__name__ == "TimeoutError":
            raise TimeoutError(f"no connection to {address!r} within {seconds} s") from None
        raise
    except BaseException:
        sock.close()
        raise
    link = MARKED if peer.marked else WIRE
    if peer.tls is not None:
        return TLSConnection(peer.tls, link, unpickler)
    return make(peer.detach(), kind, link, unpickler=unpickler)


def _prove(connection: Connection, key: bytes | None) -> Connection:
    # With nothing else to look after, plain blocking reads are the fastest.
    if key is not None:
        try:
            if drive(connection, connecting(key)):
                connection._link = MARKED
        except BaseException:
            connection.close()
            raise
    return connection


def _finish(peer: Pending, deadline: float | None) -> None:
    import select

    poller = select.poll()
    while True:
        poller.register(peer.fd, select.POLLOUT if peer.writes else select.POLLIN)
        left = None if deadline is None else (deadline - monotonic()) * 1000
        if left is not None and left <= 0:
            peer.close()
            raise TimeoutError(f"no answer from the listener at {peer.peer!r} in time")
        poller.poll(None if left is None else min(left, 2**31 - 1))
        if peer.advance():
            return
