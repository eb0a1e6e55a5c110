"""The client's side: connections to servers, one for each thread, and the references that this process has.

A link is this process's relation to one server. The server counts references for the whole link (its lease):
every token that it hands out is one grant. The link counts the proxies; when the last one of a referent is
gone it gives all grants back with one note. The lease ends with the last connection, so a process that is
killed leaves nothing behind.
"""

from __future__ import annotations

import os
from _thread import _local, allocate_lock
from collections import deque
from time import monotonic

from procession_connection import Client, XmlClient
from procession_core import (
    NotSupportedError,
    ServerDiedError,
    current_transfer,
    register_after_fork,
    reset_after_fork,
    runtime,
)

from ._channel import Channel, raise_answer
from ._protocol import (
    CANCEL,
    DROP,
    HELLO,
    PROTOCOL,
    REDEEM,
    RENEW,
    RETURN,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from collections.abc import Callable
    from typing import Any
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

_MOST_SPARE = 4
_FORK_SECONDS = 10.0
"""How long a reference dropped after a fork is kept for the child that may be about to claim it."""


class _Holder:
    """Belongs to a thread; gives the channel back when the thread is gone."""

    __slots__ = ("channel", "link")

    def __init__(self, link: Link, channel: Channel) -> None:
        self.link = link
        self.channel = channel

    def __del__(self) -> None:
        self.link.give_back(self.channel)


class Link:
    """This process's relation to the server at *address*."""

    def __init__(
        self, address: Any, authkey: bytes, serializer: str, options: dict[str, Any] | None = None
    ) -> None:
        self.address = address
        self.authkey = bytes(authkey)
        self.serializer = serializer
        self.options = options or {}
        self.registry: dict[str, Any] = {}
        # Whether there is known to have been a server.
        self._met = False
        self._begin()
        self.counts: dict[str, int] = {}
        self.grants: dict[str, int] = {}
        register_after_fork(self, Link._start_of_child)

    def _begin(self) -> None:
        self.local: Any = _local()
        self._channels: list[Channel] = []
        self._spare: list[Channel] = []
        self._retired: list[Channel] = []
        self._lock = allocate_lock()
        self._dropped: deque[str] = deque()
        self._unsent: list[tuple[str, int]] = []
        self._lease = os.urandom(16)
        self._forked = 0.0
        self.marked: bool | None = None
        self.tasks: Any = None

    # ---- forks ---------------------------------------------------------------------------------------------

    def _after_fork(self) -> None:
        for channel in self._channels:
            channel.abandon()
        self._begin()

    def _start_of_child(self) -> None:
        # The proxies that the parent had count here too; claim them before the parent can let go.
        if self.counts:
            try:
                self.channel()
            except Exception:
                pass

    # ---- channels ------------------------------------------------------------------------------------------

    def channel(self) -> Channel:
        """Return this thread's channel, connecting if there is none.

        Raises ServerDiedError if nobody listens there any more, and what ``Client()`` raises.
        """
        holder = getattr(self.local, "holder", None)
        if holder is not None and holder.channel.usable:
            channel: Channel = holder.channel
            return channel
        channel_ = self._free_channel()
        self.local.holder = _Holder(self, channel_)
        self.local.channel = channel_
        return channel_

    def _free_channel(self) -> Channel:
        with self._lock:
            channel = self._spare.pop() if self._spare else None
        return channel if channel is not None and channel.note(RENEW) else self.connect()

    def call_aside(self, ident: str | None, name: str, args: Any, kwds: Any) -> Any:
        """Make a call while this thread waits for the answer of another: the thread's channel is not free.

        A signal handler does that. On the same channel it would take the other call's answer for its own.
        Blocks and raises as ``Channel.call()``.
        """
        channel = self._free_channel()
        try:
            return channel.call(ident, name, args, kwds)
        finally:
            if channel not in self._retired:
                self.give_back(channel)

    def connect(self) -> Channel:
        """Return a new channel. Raises as ``channel()``."""
        try:
            connection = connect(self)
        except (ConnectionError, EOFError, FileNotFoundError) as error:
            # Not so for other errors: that there are no descriptors left here, say, tells nothing about the server.
            if self._met:
                raise self.lost(error) from error
            raise
        channel = Channel(self, connection)
        with self._lock:
            first = not self._channels
            self._channels.append(channel)
            grants = self.counts.copy() if first else {}
            if first:
                self.grants = grants.copy()
            retired, self._retired = self._retired, []
        self.marked = channel.marked
        self._met = True
        try:
            if channel.marked:
                hello = (self._lease, os.getpid(), runtime.name, grants)
                channel.note(HELLO + _pickle.dumps(hello, PROTOCOL))
            else:
                answer = channel.call(None, "accept_connection", (_thread_name(),), {})
                if answer[0] != RETURN:
                    raise_answer(*answer)
                if first:
                    for ident in grants:
                        self.request("incref", (ident,))
            if retired:
                # Not before the server knows the new one: the lease must not end in between.
                channel.call(None, "dummy", (), {})
        finally:
            for old in retired:
                old.close()
        return channel

    def try_options(self, options: dict[str, Any]) -> None:
        """Let new connections use *options*, if the server takes them. Raises as ``connect()`` does."""
        before, self.options = self.options, options
        if self.marked is None or options == before:
            return
        try:
            connect(self).close()
        except BaseException as error:
            self.options = before
            if isinstance(error, ConnectionRefusedError | FileNotFoundError):
                raise self.lost(error) from error
            raise

    def forget(self, channel: Channel) -> None:
        """A channel was closed."""
        local = self.local
        if getattr(local, "channel", None) is channel:
            del local.channel
        with self._lock:
            for channels in (self._channels, self._spare, self._retired):
                if channel in channels:
                    channels.remove(channel)

    def retire(self, channel: Channel, cancel: bool) -> None:
        """Use *channel* no more, but keep it open until there is another: the lease depends on it."""
        if not self.marked:
            channel.close()
            return
        if cancel:
            channel.note(CANCEL)
        local = self.local
        if getattr(local, "channel", None) is channel:
            del local.channel
            local.holder.link = _nobody
            del local.holder
        with self._lock:
            self._retired.append(channel)

    def give_back(self, channel: Channel) -> None:
        """The thread that used *channel* is gone."""
        if not channel.usable or channel not in self._channels:
            return
        if self.marked and len(self._spare) < _MOST_SPARE:
            self._spare.append(channel)
        elif not self.marked or len(self._channels) > 1:
            # The collector may have called: take no lock that this thread could hold.
            self._channels.remove(channel)
            channel.abandon()

    def lost(self, error: BaseException) -> ServerDiedError:
        """Return the error that says that the server cannot be reached."""
        if is_listening(self.address):
            return ServerDiedError(
                f"the manager's server at {self.address!r} has ended this connection "
                f"({type(error).__name__}: {error}) but still listens: it drops clients beyond its max_clients and "
                "those that break the protocol, and logs why (level INFO)"
            )
        return ServerDiedError(
            f"the manager's server at {self.address!r} is gone ({type(error).__name__}: {error}); "
            "its objects are lost: start a new manager"
        )

    def close(self) -> None:
        """Close all connections: the server was shut down."""
        for channel in list(self._channels):
            channel.close()

    # ---- requests to the server itself -----------------------------------------------------------------------

    def request(self, name: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None) -> Any:
        """Let the server do one of its own functions, and return the result. Raises as proxies' calls do."""
        if self.marked is None:
            self.channel()
        if self.marked:
            try:
                channel = self.local.channel
            except AttributeError:
                channel = self.channel()
            kind, value = channel.call(None, name, args, kwds or {})
        else:
            connection = connect(self)
            try:
                connection.send((None, name, args, kwds or {}))
                kind, value = connection.recv()
            finally:
                connection.close()
        return value if kind == RETURN else raise_answer(kind, value)

    # ---- references ------------------------------------------------------------------------------------------

    def granted(self, ident: str) -> None:
        """The server has counted one more reference on *ident* for this process."""
        if self.marked:
            with self._lock:
                self.grants[ident] = self.grants.get(ident, 0) + 1

    def settle(self, ident: str) -> None:
        """Give the grants on *ident* back if no proxy has come of them."""
        if not self.marked:
            self.request("decref", (ident,))
        elif not self.counts.get(ident):
            with self._lock:
                self.counts[ident] = self.counts.get(ident, 0) + 1
            self.drop(ident)

    def acquire(self, ident: str, transit: bytes | None = None) -> None:
        """Count one more proxy of *ident*. A call to the server if it is the first one here.

        Raises RemoteError if the server has no such referent.
        """
        self._met = True
        with self._lock:
            if self.grants.get(ident):
                self.counts[ident] = self.counts.get(ident, 0) + 1
                if transit is None:
                    return
                known = True
            else:
                known = False
        if known:
            if transit is not None:
                self.redeem(transit)
            return
        if self.marked is None:
            self.channel()
        self.request("incref", (ident,) if transit is None else (ident, transit))
        with self._lock:
            self.grants[ident] = self.grants.get(ident, 0) + 1
            self.counts[ident] = self.counts.get(ident, 0) + 1

    def redeem(self, transit: bytes) -> None:
        """Tell the server that the reference in transit is not needed."""
        try:
            self.channel().note(REDEEM + transit)
        except Exception:
            pass

    def drop(self, ident: str) -> None:
        """One proxy of *ident* is gone. Never blocks, and may be called by the collector at any time."""
        self._dropped.append(ident)
        while self._dropped and self._lock.acquire(False):
            try:
                self._count_dropped()
            finally:
                self._lock.release()
        if self._unsent:
            self.flush()

    def _count_dropped(self) -> None:
        while self._dropped:
            ident = self._dropped.popleft()
            left = self.counts.get(ident, 0) - 1
            if left > 0:
                self.counts[ident] = left
            else:
                self.counts.pop(ident, None)
                grants = self.grants.pop(ident, 0)
                if grants:
                    self._unsent.append((ident, grants))

    def flush(self) -> None:
        """Tell the server what was dropped, if that is possible now."""
        unsent, self._unsent = self._unsent, []
        if not unsent:
            return
        if self.marked is False:
            self._flush_classic(unsent)
            return
        wait = max(0.0, self._forked + _FORK_SECONDS - monotonic()) if self._forked else 0.0
        data = DROP + _pickle.dumps((unsent, wait), PROTOCOL)
        own = getattr(self.local, "channel", None)
        if own is not None and own.note(data):
            return
        for channel in list(self._channels):
            if channel.note(data):
                return
        if self._channels:
            self._unsent.extend(unsent)

    def _flush_classic(self, unsent: list[tuple[str, int]]) -> None:
        for ident, grants in unsent:
            for _ in range(grants):
                try:
                    self.request("decref", (ident,))
                except Exception:  # the server is gone, and its objects with it
                    return

    def transit(self, ident: str) -> bytes | None:
        """Return the name of a reference for a pickle on its way, or None where the server cannot keep one."""
        try:
            if self.marked is None:
                self.channel()
            if not self.marked:
                return None
            name: bytes = self.request("transit", (ident,))
            return name
        except Exception:
            return None

    def needs_procession(self, what: str) -> None:
        """Raise NotSupportedError if the server does not run this library."""
        if self.marked is None:
            self.channel()
        if not self.marked:
            raise NotSupportedError(
                f"{what} needs a server that runs procession, too; this one runs CPython's package"
            )


def is_listening(address: Any) -> bool:
    """Say whether somebody takes connections at *address*. Blocks for a second at most."""
    import socket

    try:
        with socket.socket(socket.AF_INET if isinstance(address, (tuple, list)) else socket.AF_UNIX) as sock:
            sock.settimeout(1.0)
            sock.connect(tuple(address) if isinstance(address, list) else address)
    except (OSError, AttributeError, TypeError, ValueError):
        return False
    return True


class _Nobody:
    def give_back(self, channel: Channel) -> None:
        pass


_nobody: Any = _Nobody()


def _thread_name() -> str:
    import threading

    return f"{runtime.name}|{threading.current_thread().name}"


def connect(link: Link) -> Any:
    """Return a new connection to the server of *link*."""
    maker: Callable[..., Any] = XmlClient if link.serializer == "xmlrpclib" else Client
    return maker(link.address, authkey=link.authkey, **link.options)


# ---- the links of this process -------------------------------------------------------------------------------

_links: dict[Any, Link] = {}
_keys: dict[Any, bytes] = {}
_options: dict[Any, dict[str, Any]] = {}


def link_to(
    address: Any, authkey: bytes | None, serializer: str = "pickle", options: dict[str, Any] | None = None
) -> Link:
    """Return this process's link to the server at *address*, a new one if there is none.

    Without *authkey* the key is the one last used for that address, else that of this process.
    """
    where = _hashable(address)
    key = bytes(authkey) if authkey is not None else _keys.get(where)
    if key is None:
        key = bytes(runtime.current.authkey if runtime.current is not None else runtime.authkey)
    else:
        _keys[where] = key
    if options:
        _options[where] = options
    link = _links.get((where, key, serializer))
    if link is None:
        link = _links[where, key, serializer] = Link(address, key, serializer, options or _options.get(where))
    return link


def unlink(link: Link) -> None:
    """Forget *link*: its server was shut down, or another one may answer at its address."""
    for key, found in list(_links.items()):
        if found is link:
            del _links[key]
    link.close()


def _hashable(address: Any) -> Any:
    return tuple(address) if isinstance(address, list) else address


def _after_fork() -> None:
    for link in list(_links.values()):
        link._after_fork()


def _before_fork() -> None:
    now = monotonic()
    for link in list(_links.values()):
        link._forked = now


def classic_pickles() -> bool:
    """Say whether what is being pickled goes to a reader that may be CPython's package."""
    transfer = current_transfer()
    if transfer is None:
        return False
    return bool(getattr(transfer, "classic", False) or getattr(transfer, "wire", False))


reset_after_fork(_after_fork)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)
