"""Client: connects to a Listener."""

from __future__ import annotations

import sys
from time import monotonic

from procession_core import TimeoutError, check_timeout  # noqa: A004 - the documented name

from . import _framing, _quick
from ._address import address_type, check_family, fits, packets_beside, reachable
from ._connection import Connection, check_unpickler, make
from ._handshake import connecting, key_for
from ._kinds import MARKED, PACKET, STREAM, UNIX, WIRE
from ._pending import Pending
from ._tls import NO_TLS, TLSConnection
from ._variant import core

if sys.platform == "win32":
    from ._pipes_windows import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Any

    from ._quick import Standing


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
    ever; on a Windows pipe 20 s until the listener has room), ValueError and TypeError as Listener does.
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
    if ssl is not None and family in ("AF_UNIX", "AF_PIPE"):
        raise ValueError(NO_TLS)
    check_unpickler(unpickler)
    seconds = check_timeout(timeout)
    if sys.platform == "win32" and family == "AF_PIPE":
        return connect(address, key, unpickler, seconds)
    deadline = None if seconds is None else monotonic() + max(seconds, 0.0)

    kind = UNIX if family == "AF_UNIX" else STREAM
    beside = packets_beside(address) if kind == UNIX and seconds is None and core is not None else None
    sock = None if beside is None else _connected_beside(beside)
    if sock is not None:
        kind = PACKET
    else:
        sock = _connected(address, family, ssl is not None, seconds)
    standing: Standing | None = None
    if ssl is None:
        fd: int = sock.detach()
        if key is None:
            return make(fd, kind, WIRE, unpickler=unpickler, alone=True)
        if deadline is None:  # with nothing else to look after, plain blocking reads are the fastest
            try:
                standing = _quick.connect(fd, key)
            except BaseException:
                _framing.close(fd)
                raise
            if standing is None:
                return make(fd, kind, MARKED, unpickler=unpickler, alone=True)
        sock = fd
    name = (server_hostname or address[0]) if ssl is not None else None
    handshake = None if key is None else connecting(key)
    peer = Pending(sock, address, handshake, deadline, ssl, name, True)
    if standing is not None:
        peer.resume(standing)
    try:
        if not peer.advance(False, ssl is None and deadline is None):
            _finish(peer, deadline)
    except BaseException:
        peer.close()
        raise
    link = MARKED if peer.marked else WIRE
    if peer.tls is not None:
        return TLSConnection(peer.tls, link, unpickler)
    return make(peer.detach(), kind, link, unpickler=unpickler, alone=True)


def _connected_beside(path: str) -> Any:
    if sys.platform != "linux":
        return None
    import _socket

    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    except OSError:
        return None
    try:
        sock.connect(path)
        _block(sock)
    except OSError:  # the other socket will say what is wrong, if anything is
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    return sock


def _block(sock: Any) -> None:
    # Not so if the program has set a default timeout, or if there was one for connecting.
    if sock.gettimeout() is not None:
        sock.setblocking(True)


def _connected(address: Any, family: str, tls: bool, seconds: float | None) -> Any:
    import _socket

    if tls:
        import socket

        make_socket: Any = socket.socket
    else:
        make_socket = _socket.socket  # without the object around it
    sock = make_socket(getattr(_socket, family), _socket.SOCK_STREAM)
    try:
        if seconds is not None:
            sock.settimeout(max(seconds, 0.001))
        if fits(address):
            sock.connect(address)
        else:
            with reachable(address) as short:
                sock.connect(short)
        _block(sock)
        if family != "AF_UNIX":
            sock.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    except OSError as error:
        sock.close()
        if seconds is not None and type(error).__name__ == "TimeoutError":
            raise TimeoutError(f"no connection to {address!r} within {seconds} s") from None
        if error.errno is not None and error.filename is None:
            error.filename = address
        error.add_note(
            "nobody could be reached there: give the address of a listener that is running, its `address`"
        )
        raise
    except BaseException:
        sock.close()
        raise
    return sock


def _finish(peer: Pending, deadline: float | None) -> None:
    import select

    while True:
        left = None if deadline is None else (deadline - monotonic()) * 1000
        if left is not None and left <= 0:
            peer.close()
            raise TimeoutError(f"no answer from the listener at {peer.peer!r} in time")
        if sys.platform == "win32":
            reading, writing = ([], [peer.fd]) if peer.writes else ([peer.fd], [])
            ready = any(select.select(reading, writing, [], None if left is None else left / 1000))
        else:
            poller = select.poll()
            poller.register(peer.fd, select.POLLOUT if peer.writes else select.POLLIN)
            ready = bool(poller.poll(None if left is None else min(left, 2**31 - 1)))
        if peer.advance(ready):
            return
