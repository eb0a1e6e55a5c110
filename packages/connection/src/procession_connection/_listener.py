"""Listener: waits for clients, and lets none of them hold up the others."""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from collections import deque
from time import monotonic

from procession_core import Finalize, check_timeout, debug

from . import _framing, _quick
from ._address import (
    address_type,
    arbitrary_address,
    check_family,
    default_family,
    packets_beside,
    reachable,
    with_packets,
)
from ._connection import Connection, check_unpickler, make
from ._handshake import accepting, key_for
from ._kinds import MARKED, PACKET, STREAM, UNIX, WIRE
from ._pending import Pending
from ._tls import NO_TLS, TLSConnection
from ._variant import core

if sys.platform == "win32":
    from ._async import refusal
    from ._pipes_windows import PipeListener

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

_HANDSHAKE_SECONDS = 20.0
_MOST_PENDING = 4096
_LINUX = sys.platform.startswith("linux")


class Listener:
    """A bound socket that waits for clients.

    *address* is ``(host, port)``, a path, the name of a Windows pipe, or None for an arbitrary one of *family*
    (``'AF_INET'``, ``'AF_INET6'``, ``'AF_UNIX'``, on Windows ``'AF_PIPE'``; None for the one of *address*, or this
    platform's fastest). *backlog* is the number of clients that may wait for ``accept()`` (pipes know no limit).
    With *authkey* (bytes), or with *authenticate* and the key of this process, both sides prove that they know it
    before anything is unpickled.

    *ssl* is an ``ssl.SSLContext`` for TLS over TCP; *unpickler* what turns received bytes into objects (see
    ``allow()``); *handshake_timeout* the seconds that a client has to authenticate itself.

    With *packets*, clients that run this library reach an arbitrary Unix address through a second socket beside
    it, which keeps messages apart and so is faster (Linux, with the C core). All others see an ordinary stream.

    Raises OSError if the address cannot be bound, ValueError for a family this platform does not have, TypeError
    for an address or key that is none.
    """

    def __init__(
        self,
        address: Any = None,
        family: str | None = None,
        backlog: int = 1,
        authkey: Any = None,
        *old_authkey: Any,
        authenticate: bool | None = None,
        ssl: ssl.SSLContext | None = None,
        unpickler: Callable[..., Any] | None = None,
        handshake_timeout: float | None = _HANDSHAKE_SECONDS,
        packets: bool = True,
    ) -> None:
        # Until 2012 the fourth argument was `authenticate` and the fifth the key.
        if isinstance(authkey, bool) or old_authkey:
            if len(old_authkey) > 1:
                raise TypeError("Listener takes at most an address, a family, a backlog and a key")
            authenticate, authkey = bool(authkey), (old_authkey[0] if old_authkey else None)
        self._key = key_for(authkey, authenticate)
        if family is None:
            family = address_type(address) if address is not None else default_family
        check_family(family)
        if ssl is not None and family in ("AF_UNIX", "AF_PIPE"):
            raise ValueError(NO_TLS)
        check_unpickler(unpickler)
        self._begin(family, ssl, unpickler, check_timeout(handshake_timeout))
        private = address is None
        packets = packets and private and family == "AF_UNIX" and _LINUX and core is not None
        if private:
            address = with_packets() if packets else arbitrary_address(family)
        if sys.platform == "win32" and family == "AF_PIPE":
            self._listen(address)
            return
        self._bind(address, backlog, private)
        if packets:
            self._bind_beside(address, backlog)

    def _begin(
        self,
        family: str,
        ssl: ssl.SSLContext | None,
        unpickler: Callable[..., Any] | None,
        timeout: float | None,
    ) -> None:
        self._family = family
        self._ssl = ssl
        self._unpickler = unpickler
        self._timeout = timeout
        self._kind = UNIX if family == "AF_UNIX" else STREAM
        self._last_accepted: Any = None
        self._lock = allocate_lock()
        self._pid = os.getpid()
        self._pending: dict[int, Pending] = {}
        self._done: deque[Pending] = deque()
        self._left = 0.0
        self._socket: Any = None
        self._packets: Any = None
        self._pipes: Any = None
        self._both: Any = None
        self._taken = 0
        self._number = 0
        self._unlink: Finalize | None = None

    @classmethod
    def _adopt(
        cls,
        fds: list[int],
        address: Any,
        family: str,
        key: bytes | None,
        ssl: Any,
        unpickler: Any,
        timeout: float | None,
    ) -> Listener:
        # A listener that another process has bound.
        import socket

        listener = cls.__new__(cls)
        listener._key = key
        listener._begin(family, ssl, unpickler, timeout)
        listener._socket = socket.socket(getattr(socket, family), socket.SOCK_STREAM, 0, fds[0])
        listener._socket.setblocking(False)
        if len(fds) > 1 and sys.platform == "linux":
            listener._packets = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fds[1])
            listener._packets.setblocking(False)
        listener._number = int(listener._socket.family)
        listener._address = address
        return listener

    def _listen(self, address: Any) -> None:
        if sys.platform == "win32":
            self._socket = self._pipes = PipeListener(address, self._key, self._unpickler, self._timeout)
            self._address = address

    def _bind(self, address: Any, backlog: int, private: bool) -> None:
        import socket

        family = getattr(socket, self._family)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if self._kind == STREAM and os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._kind == UNIX:
                if isinstance(address, os.PathLike):
                    address = os.fspath(address)
                with reachable(address) as short:
                    sock.bind(short)
                    if private:
                        os.chmod(short, 0o600)
                self._address = address
            else:
                sock.bind(address)
                self._address = sock.getsockname()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted ones inherit it
            sock.listen(backlog)
            # Between the poll and the accept another process may have taken the client.
            sock.setblocking(False)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError):
                if error.errno is not None and error.filename is None:
                    error.filename = address
                error.add_note(
                    "a listener needs an address of this machine that is free; None takes an arbitrary one"
                )
            raise
        self._socket = sock
        self._number = int(family)
        if self._kind == UNIX and address[:1] not in ("\0", b"\0"):
            # The socket must not keep the path of another listener alive, so only its maker removes it.
            self._unlink = Finalize(self, _unlink, (address,), exitpriority=0)

    def _bind_beside(self, address: str, backlog: int) -> None:
        if sys.platform != "linux":
            return  # both sockets are waited for by epoll
        import socket

        path = packets_beside(address)
        if path is None:  # the directory for temporary files has a long name
            return
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:  # a sandbox without them; the stream is enough
            return
        try:
            sock.bind(path)
            os.chmod(path, 0o600)
            sock.listen(backlog)
            sock.setblocking(False)
        except OSError:
            sock.close()
            _unlink(path)
            return
        except BaseException:
            sock.close()
            raise
        self._packets = sock
        if self._unlink is not None:
            self._unlink.cancel()
        self._unlink = Finalize(self, _unlink, (path, address), exitpriority=0)

    def __del__(self) -> None:
        if getattr(self, "_socket", None) is not None and os is not None:  # as Connection's
            self.close()

    @property
    def address(self) -> Any:
        """The address that clients connect to."""
        return self._address

    @property
    def last_accepted(self) -> Any:
        """The address of the last accepted client, or None before the first."""
        return self._last_accepted

    def fileno(self) -> int:
        """Return a descriptor that is ready when a client knocks. Raises OSError if closed.

        On Linux, that of a listener with *packets* is an epoll descriptor: good for ``select``, ``poll`` and asyncio,
        not for ``socket.socket(fileno=...)``. On Windows, that of a pipe's is an event, another one after each accept.
        """
        if self._socket is None:
            raise OSError("listener is closed: close() was called on it; make a new one")
        if self._packets is None or sys.platform != "linux":
            return int(self._socket.fileno())
        if self._both is None:
            import select

            self._both = select.epoll()
            for fd in self._listening():
                self._both.register(fd, select.EPOLLIN)
        return int(self._both.fileno())

    def _listening(self) -> list[int]:
        sock, packets = self._socket, self._packets
        if sock is None:
            raise OSError("listener is closed: close() was called on it; make a new one")
        return [sock.fileno()] if packets is None else [packets.fileno(), sock.fileno()]

    def close(self) -> None:
        """Close the socket and drop the clients that have not been accepted. Closing twice does nothing."""
        sock = self._socket
        if sock is None:
            return
        self._socket = None
        sock.close()
        for beside in (self._packets, self._both):
            if beside is not None:
                beside.close()
        self._packets = self._both = None
        unlink = self._unlink
        self._unlink = None
        if self._pid == os.getpid():
            if unlink is not None:
                unlink()
        for pending in (*self._pending.values(), *self._done):
            pending.close()
        self._pending.clear()
        self._done.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ---- accepting ---------------------------------------------------------------------------------------

    def accept(self) -> Connection:
        """Wait for a client and return a connection to it. Blocks until one has come and authenticated itself.

        Clients that are slow, silent or gone hold up nobody; they are dropped after the handshake timeout.

        Raises OSError if the listener is closed, AuthenticationError if a client gave a wrong answer.
        """
        if self._socket is None:
            raise OSError("listener is closed: close() was called on it; make a new one")
        self._after_fork()
        with self._lock:
            if self._pipes is not None:
                accepted: Connection = self._pipes.accept()
                return accepted
            self._resume()
            try:
                while True:
                    connection = self._step(None)
                    if connection is not None:
                        return connection
            finally:
                self._left = monotonic()

    async def async_accept(self) -> Connection:
        """Wait for a client as ``accept()`` does, without blocking the running asyncio loop.

        Raises as ``accept()``. One task at a time may wait on a listener.
        """
        from asyncio import get_running_loop

        loop = get_running_loop()
        if self._socket is None:
            raise OSError("listener is closed: close() was called on it; make a new one")
        if sys.platform == "win32" and self._pipes is not None:
            raise refusal()
        self._after_fork()
        self._resume()
        try:
            while True:
                connection = self._step(0.0)
                if connection is not None:
                    return connection
                await self._turn(loop)
        finally:
            self._left = monotonic()

    async def _turn(self, loop: Any) -> None:
        ready = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        reading: list[int] = self._listening()
        writing: list[int] = []
        deadline = None
        for fd, pending in self._pending.items():
            (writing if pending.writes else reading).append(fd)
            if pending.deadline is not None and (deadline is None or pending.deadline < deadline):
                deadline = pending.deadline
        for fd in reading:
            loop.add_reader(fd, wake)
        for fd in writing:
            loop.add_writer(fd, wake)
        timer = None if deadline is None else loop.call_later(max(0.0, deadline - monotonic()), wake)
        try:
            await ready
        finally:
            if timer is not None:
                timer.cancel()
            for fd in reading:
                loop.remove_reader(fd)
            for fd in writing:
                loop.remove_writer(fd)

    def _after_fork(self) -> None:
        if self._pid != os.getpid():
            # The parent goes on with the half-open clients; their copies here only hold them open.
            self._pid = os.getpid()
            self._lock = allocate_lock()
            for pending in (*self._pending.values(), *self._done):
                pending.close()
            self._pending.clear()
            self._done.clear()

    def _resume(self) -> None:
        # A client is not to blame for the time in which nobody called accept().
        if self._left and self._pending:
            away = monotonic() - self._left
            for pending in self._pending.values():
                if pending.deadline is not None:
                    pending.deadline += away

    def _step(self, timeout: float | None) -> Connection | None:
        """Let everybody go on who can, waiting for the first one; return a client that is through."""
        if self._done:
            return self._finish(self._done.popleft())
        pending = self._pending
        if not pending:
            # One may have come while this process was away: that costs less than a poll, and nothing if it waits.
            through = self._welcome(timeout is None)
            if through is None and not self._done and not pending:
                if not _framing.wait(self._listening(), timeout):
                    return None
                through = self._welcome(timeout is None)
            if through is not None:
                return through
            return self._finish(self._done.popleft()) if self._done else None
        now = monotonic()
        deadlines = [client.deadline for client in pending.values() if client.deadline is not None]
        if timeout is None and deadlines:
            timeout = max(0.0, min(deadlines) - now)
        for fd in self._ready(timeout):
            if fd < 0:
                through = self._welcome(False)
                if through is not None:
                    return through
            elif fd in pending:
                self._advance(pending[fd], new=False)
        now = monotonic()
        for fd, client in list(pending.items()):
            if client.deadline is not None and client.deadline <= now:
                debug("listener %r drops a client that has not authenticated itself in time", self._address)
                del pending[fd]
                client.close()
        return self._finish(self._done.popleft()) if self._done else None

    def _ready(self, timeout: float | None) -> list[int]:
        own = self._listening()
        if not any(client.writes for client in self._pending.values()):
            fds = [*self._pending, *own]
            ready = [fds[position] for position in _framing.wait(fds, timeout)]
        else:
            import select

            if sys.platform == "win32":
                reading = [*own, *(fd for fd, client in self._pending.items() if not client.writes)]
                writing = [fd for fd, client in self._pending.items() if client.writes]
                readable, writable, _ = select.select(reading, writing, [], timeout)
                ready = [*readable, *writable]
            else:
                poller = select.poll()
                for fd in own:
                    poller.register(fd, select.POLLIN)
                for fd, client in self._pending.items():
                    poller.register(fd, select.POLLOUT if client.writes else select.POLLIN)
                milliseconds = None if timeout is None else min(timeout * 1000 + 1, 2**31 - 1)
                ready = [fd for fd, _ in poller.poll(milliseconds)]
        return [-1 if fd in own else fd for fd in ready]

    def _knocking(self) -> tuple[Any, Any, int] | None:
        """Take a client off one of the sockets: what is connected, its address, its kind."""
        sock, packets = self._socket, self._packets
        if sock is None:
            raise OSError("listener is closed: close() was called on it; make a new one")
        places = [(sock, self._kind)]
        if packets is not None:
            self._taken += 1
            places.insert(not self._taken & 15, (packets, PACKET))  # now and then the other one has its turn
        for place, kind in places:
            try:
                # Without the objects of the socket module, which cost more than the call.
                return (*(place._accept() if self._ssl is None else place.accept()), kind)
            except (BlockingIOError, ConnectionAbortedError):
                pass
        return None

    def _welcome(self, patient: bool) -> Connection | None:
        """Take the next client; return a connection to it if it is through at once."""
        knocking = self._knocking()
        if knocking is None:
            return None
        sock, peer, kind = knocking
        if not _LINUX:
            sock = _like_linux(sock, kind)
        elif self._ssl is not None:
            sock.setblocking(True)
        key = self._key
        standing = None
        if self._ssl is None:
            link = WIRE
            try:
                if key is not None:
                    standing = _quick.accept(sock, key, patient)
                    link = MARKED
            except OSError as error:
                debug("listener %r drops a client during the handshake: %r", self._address, error)
                _framing.close(sock)
                return None
            except BaseException:
                _framing.close(sock)
                raise
            if standing is None:
                self._last_accepted = peer
                return make(sock, kind, link, unpickler=self._unpickler, alone=True)
        deadline = None if self._timeout is None else monotonic() + self._timeout
        handshake = None if key is None else accepting(key)
        client = Pending(sock, peer, handshake, deadline, self._ssl)
        client.kind = kind
        if standing is not None:
            client.resume(standing)
        self._advance(client, new=True)
        return None

    def _keep(self, client: Pending) -> None:
        if len(self._pending) >= _MOST_PENDING:
            # Honest clients are through in milliseconds, so the oldest one is the least honest.
            oldest = next(iter(self._pending))
            self._pending.pop(oldest).close()
        self._pending[client.fd] = client

    def _advance(self, client: Pending, new: bool) -> None:
        fd = client.fd
        try:
            through = client.advance(not new)
        except BaseException:
            self._pending.pop(fd, None)
            raise
        if through is None:
            self._pending.pop(fd, None)
        elif through:
            self._pending.pop(fd, None)
            self._done.append(client)
        elif new:
            self._keep(client)

    def _finish(self, client: Pending) -> Connection:
        self._last_accepted = client.peer
        link = MARKED if client.marked else WIRE
        if client.tls is not None:
            return TLSConnection(client.tls, link, self._unpickler)
        return make(client.detach(), client.kind, link, unpickler=self._unpickler, alone=True)


def _like_linux(sock: Any, kind: int) -> Any:
    # Elsewhere an accepted socket is not blocking again, and forgets TCP_NODELAY.
    import socket

    made = sock if isinstance(sock, socket.socket) else socket.socket(fileno=sock)
    made.setblocking(True)
    if kind == STREAM:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made if made is sock else made.detach()


def _unlink(*addresses: Any) -> None:
    for address in addresses:
        with reachable(address) as short:
            try:
                os.unlink(short)
            except FileNotFoundError:
                pass
