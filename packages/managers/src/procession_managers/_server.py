"""The server: one loop for all clients, threads only for calls that may block.

docs/internals/manager-server.md describes the protocol and why the loop may call referents directly.
"""

from __future__ import annotations

import os
from _thread import get_ident
from heapq import heapify, heappop, heappush
from itertools import count
from threading import RLock, Thread
from time import monotonic, sleep

from procession_connection import Listener, XmlListener, wire_reducer
from procession_core import AuthenticationError, debug, default_reducer, info, reset_after_fork, runtime

from . import _poller as poller
from ._calls import Calls
from ._channel import MARKED
from ._foreign import Foreigners
from ._functions import Functions
from ._lane import KEY_BYTES, make_queue, open_queue
from ._local import LocalLink
from ._objects import Lease, Objects
from ._peer import EncryptedPeer, Peer, PickleCodec, TooLong, XmlCodec
from ._protocol import CANCEL, DROP, ERROR, HELLO, NOTE, REDEEM, RENEW, TRACEBACK
from ._serving import serving
from ._transit import ManagerTransfer
from ._workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from collections.abc import Callable
    from typing import Any

    from ._wait import Wait
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

_MOST_BACKLOG = 1024
_NO_LIMIT = 1 << 62
_TRANSIT_SECONDS = 60.0
"""How long a reference in transit outlives the process that sent it."""


class Server(Calls, Functions):
    """Keeps referents and serves the processes that have proxies of them.

    *registry* maps type identifiers to what ``BaseManager.register()`` was told. *options* are those of the
    Listener; *max_clients* and *max_message* (bytes) limit what clients may ask for: one connection too many is closed,
    one message too long answered with an error.
    """

    def __init__(
        self,
        registry: dict[str, Any],
        address: Any,
        authkey: bytes,
        serializer: str = "pickle",
        *,
        max_clients: int | None = None,
        max_message: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(authkey, bytes):
            raise TypeError(f"Authkey {authkey!r} is type {type(authkey)!s}, not bytes; pass bytes")
        self.registry = registry
        self.authkey = authkey
        self.serializer = serializer
        self.max_clients = max_clients
        self.max_message = _NO_LIMIT if max_message is None else max_message
        self.options = options or {}
        maker = XmlListener if serializer == "xmlrpclib" else Listener
        self.listener: Any = maker(
            address=address, backlog=128, authkey=bytes(authkey), packets=False, **self.options
        )
        self.address = self.listener.address
        self.objects = Objects()
        self.leases: dict[bytes, Lease] = {}
        self.transits: dict[bytes, tuple[str, Lease | None, float]] = {}
        self.peers: dict[int, Peer] = {}
        self.lanes: dict[bytes, Peer] = {}
        self._requests: Any = None
        self.gate = RLock()
        self.workers = Workers(self._enter)
        self.local_link = LocalLink(self)
        self.stopping = False
        self._poller: Any = None
        self.foreigners: Any = None
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        self._ready: list[Peer] = []
        self._loop_thread = 0
        self._acceptor: Thread | None = None
        self._wake_read = self._wake_write = self._knock = -1
        self._parent = -1
        self._orphaned = False
        self._control: Any = None
        unpickler = self.options.get("unpickler")
        self._codecs = (
            PickleCodec(wire_reducer.dumps, unpickler or wire_reducer.loads),
            PickleCodec(default_reducer.dumps, unpickler or _pickle.loads),
            XmlCodec(),
        )

    # ---- the loop --------------------------------------------------------------------------------------------

    def serve_forever(self) -> None:
        """Serve until a client asks for the shutdown, or until KeyboardInterrupt. Blocks.

        Raises SystemExit with the status 0 at the end, as CPython's servers do: a script ends there, a thread
        does so silently.
        """
        runtime.current._manager_server = self
        try:
            self._serve()
        except (KeyboardInterrupt, SystemExit):
            pass
        finally:
            self._end()
        raise SystemExit(0)

    serveForever = serve_forever
    """The older documentation's spelling."""

    def watch_parent(self, sentinel: int, control: Any) -> None:
        """End when the process that started this one does (*sentinel*) or says so (*control*, a connection)."""
        self._parent = sentinel
        self._control = control

    def _enter(self) -> None:
        serving.server = self

    def _serve(self) -> None:
        self._enter()
        self._loop_thread = get_ident()
        self._poller = poller.make_poller()
        self.foreigners = Foreigners(self._poller)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._poller.register(self._wake_read, poller.IN)
        if self._parent >= 0:
            self._poller.register(self._parent, poller.IN)
        if self._control is not None:
            self._poller.register(self._control.fileno(), poller.IN)
        self._knock = self.listener.fileno()
        self._poller.register(self._knock, poller.IN)
        _servers.add(self)
        poll = self._poller.poll
        peers = self.peers
        gate = self.gate
        while not self.stopping:
            for fd, events in poll(self._next_timer()):
                peer = peers.get(fd)
                if peer is None:
                    self._own_event(fd)
                    continue
                with gate:
                    self._event(peer, events)
            if self._ready:
                self._go_on()

    def _own_event(self, fd: int) -> None:
        if fd == self._wake_read:
            try:
                os.read(fd, 4096)
            except BlockingIOError:
                pass
            with self.gate:
                self.local_link.sweep()
        elif fd == self._knock:
            # The first client: a thread for accepting, which a manager that nobody uses does without.
            self._poller.unregister(fd)
            self._knock = -1
            self._acceptor = Thread(target=self._accept, name="procession-manager-accept", daemon=True)
            self._acceptor.start()
        elif self._control is not None and fd == self._control.fileno():
            # A parent that is killed closes its end before it is seen to have ended.
            self._orphaned = not self._was_asked_to_end()
            self.stopping = True
        elif fd == self._parent:
            info("manager server ends because its parent has ended")
            self._orphaned = self.stopping = True
        else:
            with self.gate:
                lease = self.foreigners.ended(fd)
                if lease is not None:
                    self._end_lease(lease)

    def _was_asked_to_end(self) -> bool:
        try:
            self._control.recv_bytes()
        except (EOFError, OSError):
            return False
        return True

    def wake(self) -> None:
        """Let the loop look at what another thread has changed."""
        if self._wake_write >= 0 and get_ident() != self._loop_thread:
            try:
                os.write(self._wake_write, b"!")
            except BlockingIOError:
                pass

    def later(self, when: float, callback: Callable[[], object]) -> None:
        """Call *callback* in the loop, holding the gate, at the monotonic time *when*."""
        heappush(self._timers, (when, next(self._numbers), callback))
        self.wake()

    def _next_timer(self) -> float | None:
        timers = self._timers
        if not timers:
            return None
        now = monotonic()
        while timers and timers[0][0] <= now:
            with self.gate:
                callback = heappop(timers)[2]
                callback()
        if len(timers) > 1000 and len(timers) > 8 * len(self.peers):
            # Waits that ended early leave their timers behind.
            live = [timer for timer in timers if getattr(timer[2], "__self__", self).live]
            if len(live) < len(timers) // 2:
                timers[:] = live
                heapify(timers)
        return max(0.0, timers[0][0] - now) if timers else None

    live = True

    def _end(self) -> None:
        self.stopping = True
        _servers.discard(self)
        # First: whose connection ends sees that nobody listens any more.
        self._close_listener()
        if self._orphaned and isinstance(self.address, str):
            # A parent that was killed has not removed the directory that it made for its sockets.
            folder = os.path.dirname(self.address)
            if os.path.basename(folder).startswith("procession-"):
                try:
                    os.rmdir(folder)
                except OSError:
                    pass  # the socket of another one is in it still
        with self.gate:
            for peer in list(self.peers.values()):
                self.drop_peer(peer)
        if self._poller is not None:
            self._poller.close()
            self.foreigners.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_read = self._wake_write = -1

    def _close_listener(self) -> None:
        import socket

        listener = self.listener
        if self._acceptor is not None and listener._socket is not None:
            # The thread must be gone before the descriptor is: it may be about to wait for it, and the number may be
            # somebody else's a moment after close(). Shutting the socket down ends its wait.
            sock, listener._socket = listener._socket, None
            try:
                with socket.socket(fileno=os.dup(sock.fileno())) as copy:
                    copy.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._acceptor.join(1.0)
            listener._socket = sock
        listener.close()

    def after_fork(self) -> None:
        """In the child of a fork: the connections are the parent's; copies here would keep them open."""
        for peer in list(self.peers.values()):
            peer.close()
        self.peers.clear()
        self.lanes.clear()
        self._requests = None
        self.listener.close()
        for fd in (self._wake_read, self._wake_write):
            if fd >= 0:
                os.close(fd)
        if self._poller is not None:
            self._poller.close()
            self.foreigners.close()
        self._wake_read = self._wake_write = -1
        serving.server = None

    # ---- clients come and go ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self.stopping:
            try:
                connection = self.listener.accept()
            except AuthenticationError as error:
                info("manager server refuses a client: %s", error)
            except Exception as error:
                if self.stopping:
                    return
                info("manager server cannot accept a client: %r", error)
                sleep(0.05)  # out of descriptors: give clients time to go
            else:
                with self.gate:
                    self._welcome(connection)

    def _welcome(self, connection: Any) -> None:
        if self.stopping or (self.max_clients is not None and len(self.peers) >= self.max_clients):
            info("manager server refuses a client: there are %d already", len(self.peers))
            connection.close()
            return
        connection = getattr(connection, "_connection", connection)  # of an XmlConnection
        marked = connection._link == MARKED and self.serializer == "pickle"
        transfer = ManagerTransfer(self.address, not marked)
        codec = self._codecs[2 if self.serializer == "xmlrpclib" else marked]
        kind = EncryptedPeer if hasattr(connection, "tls") else Peer
        peer = kind(connection, marked, codec, transfer, self.max_message)
        if marked:
            transfer.grant = lambda ident: self.grant(peer, ident)
        else:
            peer.lease = self.foreigners.lease(peer.sock)
            if peer.lease is not None:
                peer.lease.peers.add(peer)
        self.peers[peer.fd] = peer
        self._poller.register(peer.fd, poller.IN)
        if not poller.LIVE:
            self.wake()

    def drop_peer(self, peer: Peer) -> None:
        """Close a connection and forget what depended on it. Holds the gate."""
        if peer.closed:
            return
        self.peers.pop(peer.fd, None)
        if peer.key:
            self.lanes.pop(peer.key, None)
        try:
            self._poller.unregister(peer.fd)
        except (OSError, KeyError, ValueError):
            pass
        wait, peer.wait = peer.wait, None
        peer.close()
        if wait is not None:
            wait.cancel()
        lease = peer.lease
        if lease is not None:
            lease.peers.discard(peer)
            if not lease.peers and lease.watch < 0:
                self._end_lease(lease)
            elif not lease.peers and not lease.refs and not lease.held:
                self.foreigners.forget(lease)

    def _end_lease(self, lease: Lease) -> None:
        for key, found in list(self.leases.items()):
            if found is lease:
                del self.leases[key]
        for lock in list(lease.held):
            lock.owner_died(lease)
        lease.held.clear()
        refs, lease.refs = lease.refs, {}
        for ident, number in refs.items():
            self.objects.release(ident, number)
        if lease.transits:
            # The process may have ended in good order, with its message still unread.
            transits, lease.transits = lease.transits, set()
            self.later(monotonic() + _TRANSIT_SECONDS, lambda: self._forget_transits(transits))

    def _forget_transits(self, transits: set[bytes]) -> None:
        for transit in transits:
            found = self.transits.pop(transit, None)
            if found is not None:
                self.objects.release(found[0])

    # ---- bytes come and go -----------------------------------------------------------------------------------

    def _event(self, peer: Peer, events: int) -> None:
        try:
            if events & poller.OUT and peer.drain():
                self._poller.modify(peer.fd, poller.IN)
            if not events & ~poller.OUT:
                return
            data = peer.fill()
        except TooLong as error:
            info("manager server drops a client: %s", error)
            self.drop_peer(peer)
            return
        except OSError as error:
            debug("manager server lost a client: %r", error)
            self.drop_peer(peer)
            return
        if isinstance(data, bytes):
            self._message(peer, data)
        elif data is None:
            self.drop_peer(peer)
        else:
            for message in data:
                if peer.closed:
                    return
                if isinstance(message, TooLong):
                    self.answer_error(peer, TRACEBACK, message)
                else:
                    self._message(peer, message)

    def _message(self, peer: Peer, data: bytes) -> None:
        if peer.marked and data[:1] == b"#":
            self._note(peer, data)
        elif peer.busy or peer.backlog:
            peer.backlog.append(data)
            if len(peer.backlog) > _MOST_BACKLOG:
                info("manager server drops a client that asks without waiting for answers")
                self.drop_peer(peer)
        else:
            self.request(peer, data)

    def _go_on(self) -> None:
        ready, self._ready = self._ready, []
        for peer in ready:
            with self.gate:
                while peer.backlog and not peer.busy and not peer.closed:
                    self.request(peer, peer.backlog.pop(0))

    def freed(self, peer: Peer) -> None:
        """A call of *peer* has ended: go on with what it asked in the meantime. Holds the gate."""
        peer.busy = False
        if peer.backlog:
            self._ready.append(peer)
            self.wake()

    def send(self, peer: Peer, data: Any) -> bool:
        """Send an answer, now or when the client reads; False if it is gone. Holds the gate.

        *data* are bytes; in a lane also a plain value, which is the result.
        """
        if peer.closed:
            return False
        if peer.lane is not None:
            try:
                peer.lane(data)
            except Exception as error:
                return self._not_in_lane(peer, error)
            return True
        try:
            if not peer.write(data):
                self._poller.modify(peer.fd, poller.OUT)
                if not poller.LIVE:
                    self.wake()
        except OSError as error:
            debug("manager server lost a client: %r", error)
            self.drop_peer(peer)
            return False
        return True

    def _not_in_lane(self, peer: Peer, error: Exception) -> bool:
        if isinstance(error, MemoryError):
            # The arena is at its limit. The client can be told, in few bytes.
            try:
                peer.lane(self.encode_error(peer, ERROR, error))
                return True
            except Exception as again:
                error = again
        # Else it has made its queue small, or shut it down.
        info("manager server drops a client: %r", error)
        self.drop_peer(peer)
        return False

    def park(self, peer: Peer, wait: Wait) -> None:
        """Remember that *peer* waits. Holds the gate."""
        peer.busy = True
        peer.wait = wait
        if wait.deadline is not None:
            self.later(wait.deadline, wait.expire)

    # ---- lanes -----------------------------------------------------------------------------------------------

    def prepare_lane(self, peer: Peer, handle: tuple[Any, ...]) -> tuple[Any, bytes] | None:
        """Find the client's queue; return where it shall put its requests, and its key."""
        answers = open_queue(handle)
        if answers is None or peer.key:
            return None
        if self._requests is None:
            self._requests = make_queue()
            self._requests._patient()
            Thread(target=self._serve_lanes, name="procession-manager-lanes", daemon=True).start()
        peer.key = os.urandom(KEY_BYTES)
        peer.next_lane = answers.put_nowait
        self.lanes[peer.key] = peer
        return self._requests.handle(), peer.key

    def enter_lane(self, peer: Peer) -> None:
        """The client has been told: from now on answers go through its queue."""
        peer.lane = peer.next_lane

    def _serve_lanes(self) -> None:
        self._enter()
        get = self._requests.get
        lanes = self.lanes
        gate = self.gate
        limit = self.max_message + KEY_BYTES
        request = self.request
        while not self.stopping:
            try:
                data = get()
                peer = lanes.get(data[-KEY_BYTES:])
            except Exception as error:
                # Whoever belongs to the tree can put anything here.
                info("manager server refuses a request: %r", error)
                sleep(0.01)
                continue
            if peer is None:
                continue
            with gate:
                if peer.lane is None:  # it is gone
                    continue
                if len(data) > limit and data[0] != NOTE:
                    self.answer_error(peer, TRACEBACK, TooLong(len(data) - KEY_BYTES, self.max_message))
                elif data[0] == NOTE or peer.busy or peer.backlog:
                    self._message(peer, data)
                else:
                    request(peer, data)

    # ---- notes -----------------------------------------------------------------------------------------------

    def _note(self, peer: Peer, data: bytes) -> None:
        kind, rest = data[:2], data[2:]
        if peer.lane is not None and kind == REDEEM:
            rest = rest[:-KEY_BYTES]
        try:
            if kind == DROP:
                self._dropped(peer, *peer.codec.loads(rest))
            elif kind == HELLO:
                self._hello(peer, *peer.codec.loads(rest))
            elif kind == REDEEM:
                self.redeem(rest)
            elif kind == CANCEL:
                if peer.wait is not None:
                    peer.wait.cancel()
                    peer.wait = None
            elif kind == RENEW:
                peer.identity = object()
            else:
                raise ValueError(f"unknown note {kind!r}")
        except Exception as error:
            info("manager server drops a client that sent a wrong note: %r", error)
            self.drop_peer(peer)

    def _hello(self, peer: Peer, key: bytes, pid: int, name: str, grants: dict[str, int]) -> None:
        lease = self.leases.get(key)
        if lease is None:
            lease = self.leases[key] = Lease(pid, name)
            for ident, number in grants.items():
                try:
                    self.objects.hold(ident, number)
                except KeyError:  # dropped by the parent in the meantime; the first call on it will say so
                    continue
                lease.refs[ident] = number
        peer.lease = lease
        peer.accepted = True
        lease.peers.add(peer)

    def _dropped(self, peer: Peer, dropped: list[tuple[str, int]], wait: float) -> None:
        lease = peer.lease
        if lease is None:
            return
        for ident, number in dropped:
            have = lease.refs.get(ident, 0)
            number = min(number, have)
            if number == have:
                lease.refs.pop(ident, None)
            else:
                lease.refs[ident] = have - number
            if wait > 0.0:
                self._release_later(ident, number, min(wait, 60.0))
            else:
                self.objects.release(ident, number)

    def _release_later(self, ident: str, number: int, wait: float) -> None:
        entry = self.objects.entries.get(ident)
        if entry is None or not number:
            return
        entry.leaving += number

        def release() -> None:
            entry.leaving -= number
            self.objects.release(ident, number)

        self.later(monotonic() + wait, release)

    def grant(self, peer: Peer, ident: str) -> bool:
        """Count a reference for the process of *peer*; False if it cannot have any."""
        lease = peer.lease
        if lease is None:
            return False
        with self.gate:
            self.objects.hold(ident)
            lease.refs[ident] = lease.refs.get(ident, 0) + 1
        return True

    def redeem(self, transit: bytes) -> bool:
        """Release a reference in transit; False if there is no such."""
        with self.gate:
            found = self.transits.pop(transit, None)
            if found is None:
                return False
            ident, lease, _ = found
            if lease is not None:
                lease.transits.discard(transit)
            self.objects.release(ident)
        return True


_servers: set[Server] = set()


def _after_fork() -> None:
    for server in list(_servers):
        server.after_fork()
    _servers.clear()


reset_after_fork(_after_fork)
