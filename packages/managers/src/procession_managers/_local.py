"""Proxies inside the server's own process: they call their referents without a connection."""

from __future__ import annotations

from _thread import _local
from collections import deque

from procession_core import transfer_scope

from ._objects import Entry
from ._protocol import PROXY, RETURN, SCALARS
from ._token import Token
from ._transit import ManagerTransfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Caller(_local):
    """A thread of the server's process, as the referents see it."""

    lease = None

    def __init__(self) -> None:
        self.identity = object()


class _Here:
    """Where proxies look for their thread's channel."""

    __slots__ = ("channel",)

    def __init__(self, channel: Any) -> None:
        self.channel = channel


class LocalLink:
    """Stands for a link where the server is in this process."""

    marked = True

    def __init__(self, server: Any) -> None:
        self.server = server
        self.address = server.address
        self.authkey = server.authkey
        self.serializer = server.serializer
        self.registry = server.registry
        self.local = _Here(self)
        self._caller = _Caller()
        self._dropped: deque[str] = deque()

    def channel(self) -> LocalLink:
        """Return what has ``call()``."""
        return self

    def call(self, ident: str | None, name: str, args: Any, kwds: Any) -> tuple[str, Any]:
        """Call a method here and return ``(kind, value)``; values are copies, as if they had travelled."""
        server = self.server
        if ident is None:
            return RETURN, self.request(name, args, kwds)
        entry, typeid, result = server.call_here(self._caller, ident, name, args, kwds)
        return self._pack(entry, typeid, result)

    def _pack(self, entry: Entry, typeid: str | None, result: Any) -> tuple[str, Any]:
        if typeid:
            result = self.server.referent_of(typeid, result)
            exposed, ident = self.server.make(self._caller, typeid, result, entry.nested)
            return PROXY, (exposed, Token(typeid, self.address, ident))
        if type(result) in SCALARS:
            return RETURN, result
        codec = self.server._codecs[1]
        with transfer_scope(ManagerTransfer(self.address, False)):
            data = codec.dumps(result)
        return RETURN, codec.loads(data)

    def request(self, name: str, args: tuple[Any, ...] = (), kwds: dict[str, Any] | None = None) -> Any:
        """Let the server do one of its own functions."""
        func = getattr(self.server, name)
        with self.server.gate:
            return func(self._caller, *args, **(kwds or {}))

    def granted(self, ident: str) -> None:
        """A reference was counted already; ``acquire()`` counts its own."""

    def settle(self, ident: str) -> None:
        """Release the reference that came with the token."""
        self.drop(ident)

    def acquire(self, ident: str, transit: bytes | None = None) -> None:
        """Count a reference for a proxy here. Raises KeyError."""
        with self.server.gate:
            self.server.objects.hold(ident)
        if transit is not None:
            self.server.redeem(transit)

    def drop(self, ident: str) -> None:
        """One proxy is gone. The collector may call at any time, so the loop does the rest."""
        self._dropped.append(ident)
        server = self.server
        if server.gate.acquire(False):
            try:
                self.sweep()
            finally:
                server.gate.release()
        else:
            server.wake()

    def sweep(self) -> None:
        """Release what was dropped while another thread held the gate. Holds it."""
        while self._dropped:
            self.server.objects.release(self._dropped.popleft())

    def transit(self, ident: str) -> bytes | None:
        """Return the name of a reference for a pickle on its way."""
        with self.server.gate:
            name: bytes = self.server.transit(None, ident)
            return name

    def needs_procession(self, what: str) -> None:
        """Nothing is missing here."""
