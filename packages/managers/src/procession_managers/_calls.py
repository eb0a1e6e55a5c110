"""Carrying out requests: what they call, and how the answer goes back."""

from __future__ import annotations

import sys
from _thread import allocate_lock
from threading import Condition, RLock

from procession_core import info, transfer_scope

from ._errors import format_error
from ._lane import is_plain
from ._objects import Entry
from ._protocol import (
    ERROR,
    ERROR_TRACED,
    FALSE,
    GRANTS,
    NOTHING,
    PROTOCOL,
    PROXY,
    RETURN,
    SCALARS,
    TRACEBACK,
    TRUE,
    UNSERIALIZABLE,
)
from ._token import Token
from ._wait import Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from collections.abc import Callable
    from typing import Any

    from ._objects import Objects
    from ._peer import Peer
    from ._workers import Workers
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

_OWNED = (type(RLock()), Condition)
"""What belongs to a thread from one call to the next: such calls of one client thread share a thread here."""
_NESTED: dict[Any, str] = {dict: "dict", list: "list", set: "set"}
_GETTERS = frozenset(("__getitem__", "get", "setdefault"))


class Calls:
    """The part of the server that carries out requests. All methods but ``_run`` hold the gate."""

    objects: Objects
    workers: Workers
    address: Any
    gate: Any
    _functions: dict[str, Callable[..., Any]]

    if TYPE_CHECKING:

        def send(self, peer: Peer, data: Any) -> bool: ...
        def freed(self, peer: Peer) -> None: ...
        def park(self, peer: Peer, wait: Wait) -> None: ...
        def drop_peer(self, peer: Peer) -> None: ...
        def function(self, peer: Peer, name: str, args: Any, kwds: Any) -> None: ...
        def make(
            self, peer: Any, typeid: str, obj: Any, nested: bool = False
        ) -> tuple[tuple[str, ...], str]: ...
        def referent_of(self, typeid: str, result: Any) -> Any: ...

    def request(self, peer: Peer, data: bytes, inline: bool = True) -> None:
        """Carry out the request that *data* is."""
        if inline and b"ebuild" in data and (b"rebuild_proxy" in data or b"RebuildProxy" in data):
            # A proxy among the arguments may be another server's, which has to be asked.
            peer.busy = True
            self.workers.submit(self._request_slowly, peer, data)
            return
        try:
            ident, name, args, kwds = peer.codec.loads(data)
            self.perform(peer, ident, name, args, kwds)
        except Exception as error:
            self.answer_error(peer, TRACEBACK, error)

    def _request_slowly(self, peer: Peer, data: bytes) -> None:
        try:
            ident, name, args, kwds = peer.codec.loads(data)
        except Exception as error:
            with self.gate:
                self.answer_error(peer, TRACEBACK, error)
                self.freed(peer)
            return
        with self.gate:
            peer.busy = False
            try:
                self.perform(peer, ident, name, args, kwds)
            except Exception as error:
                self.answer_error(peer, TRACEBACK, error)
            if not peer.busy:
                self.freed(peer)

    def perform(self, peer: Peer, ident: Any, name: str, args: Any, kwds: Any) -> None:
        """Call what is asked for; answer at once, or later. Raises what is wrong with the request itself."""
        entry = self.objects.entries.get(ident)
        if entry is None:
            if ident is None:
                self.function(peer, name, args, kwds)
                return
            entry = self.objects.find(ident)
        found = entry.calls.get(name)
        if found is None:
            found = entry.find(name)
        func, waits, typeid = found
        if not entry.quick:
            peer.busy = True
            job = (self._run, peer, entry, func, typeid, args, kwds)
            if isinstance(entry.obj, _OWNED):
                if peer.home is None:
                    peer.home = self.workers.own(*job)
                else:
                    peer.home.give((job[0], job[1:]))
            else:
                self.workers.submit(*job)
            return
        try:
            result = func(peer, *args, **kwds) if waits else func(*args, **kwds)
        except BaseException as error:
            self.answer_error(peer, ERROR, error)
            return
        if peer.lane is not None and typeid is None and is_plain(result):
            self.send(peer, result)
        elif result is None or (result is entry.obj and name[:3] == "__i"):
            # An in-place operator changes the referent; its whole value is not worth sending.
            self.send(peer, NOTHING if peer.codec.binary else peer.codec.dumps((RETURN, None)))
        elif type(result) is Wait:
            result.answer = lambda value, error: self._end_wait(peer, value, error)
            self.park(peer, result)
        else:
            self.send(peer, self.encode(peer, entry, typeid, name, result))

    def _end_wait(self, peer: Peer, value: Any, error: BaseException | None) -> bool:
        peer.wait = None
        if peer.closed or (peer.lane is not None and peer.gone()):
            return False
        if error is not None:
            told = self.answer_error(peer, ERROR, error)
        else:
            plain = peer.lane is not None and is_plain(value)
            told = self.send(peer, value if plain else self.encode_value(peer, value))
        self.freed(peer)
        return told

    def _run(
        self, peer: Peer, entry: Entry, func: Callable[..., Any], typeid: str | None, args: Any, kwds: Any
    ) -> None:
        # In a thread, without the gate.
        data = None
        try:
            result = func(*args, **kwds)
        except BaseException as error:
            data = self.encode_error(peer, ERROR, error)
        else:
            data = self.encode(peer, entry, typeid, "", result)
        flush()
        with self.gate:
            self.send(peer, data)
            self.freed(peer)

    # ---- answers ---------------------------------------------------------------------------------------------

    def encode(self, peer: Peer, entry: Entry, typeid: str | None, name: str, result: Any) -> bytes:
        """Return the answer to a call on *entry* that returned *result*."""
        kind = type(result)
        if typeid is None and kind in SCALARS:
            return self.encode_value(peer, result)
        if entry.nested and kind in _NESTED and name in _GETTERS:
            typeid = _NESTED[kind]
        if typeid:
            try:
                result = self.referent_of(typeid, result)
                with self.gate:
                    exposed, ident = self.make(peer, typeid, result, entry.nested)
                data: bytes = peer.codec.dumps((PROXY, (exposed, Token(typeid, self.address, ident))))
                return data
            except Exception as error:
                return self.encode_error(peer, TRACEBACK, error)
        return self.encode_value(peer, result)

    def encode_value(self, peer: Peer, value: Any) -> bytes:
        """Return the answer that carries *value*."""
        codec = peer.codec
        if codec.binary:
            if value is True:
                return TRUE
            if value is False:
                return FALSE
            if value is None:
                return NOTHING
            if type(value) in SCALARS:
                return _pickle.dumps((RETURN, value), PROTOCOL)
        transfer = peer.transfer
        if transfer.shared:
            transfer.clear()
        # What is in the answer lives until the client has had time to count it.
        if not peer.marked:
            peer.last = value
        try:
            with transfer_scope(transfer):
                data: bytes = codec.dumps((RETURN, value))
        except Exception as error:
            text = format_error(error, always=True) + f"\nthe value was {_short(value)}\n"
            return bytes(codec.dumps((UNSERIALIZABLE, text)))
        if transfer.granted:
            transfer.granted = False
            return GRANTS + data
        return data

    def answer_error(self, peer: Peer, kind: str, error: BaseException) -> bool:
        """Send *error* to the client; False if it is gone."""
        return self.send(peer, self.encode_error(peer, kind, error))

    def encode_error(self, peer: Peer, kind: str, error: BaseException) -> bytes:
        """Return the answer that carries *error*."""
        codec = peer.codec
        data: bytes
        if kind == ERROR:
            text = format_error(error)
            try:
                with transfer_scope(peer.transfer):
                    data = codec.dumps(
                        (ERROR_TRACED, (error, text)) if text and peer.marked else (ERROR, error)
                    )
                if _has_own_init(type(error)):
                    codec.loads(data)
                if (
                    not peer.marked
                    and type(error).__module__.startswith("procession_")
                    and b"procession_" in data
                ):
                    raise TypeError(f"{type(error)!r} is unknown to the other side")
                return data
            except Exception as refused:
                note = "".join(f"\n{line}" for line in getattr(refused, "__notes__", ()))
                text = format_error(error, always=True)
                return bytes(
                    codec.dumps(
                        (UNSERIALIZABLE, f"{text}\n(the exception itself cannot be sent: {refused}{note})")
                    )
                )
        who = "a client" if peer.lease is None else f"{peer.lease.name} (pid {peer.lease.pid})"
        info("manager server refuses a request of %s: %s: %s", who, type(error).__name__, error)
        return bytes(codec.dumps((TRACEBACK, format_error(error, always=True))))

    # ---- calls from this process -----------------------------------------------------------------------------

    def call_here(
        self, caller: Any, ident: str, name: str, args: Any, kwds: Any
    ) -> tuple[Entry, str | None, Any]:
        """Call a method for a thread of this process; ``(entry, typeid, result)``. Blocks while it has to wait.

        Raises what the method raises.
        """
        done = None
        with self.gate:
            entry = self.objects.find(ident)
            func, waits, typeid = entry.calls.get(name) or entry.find(name)
            if entry.quick:
                result = func(caller, *args, **kwds) if waits else func(*args, **kwds)
                if type(result) is not Wait:
                    return entry, typeid, result
                done = _Done()
                result.answer = done
                if result.deadline is not None:
                    self.later(result.deadline, result.expire)
        if done is None:
            return entry, typeid, func(*args, **kwds)
        return entry, None, done.result()

    if TYPE_CHECKING:

        def later(self, when: float, callback: Callable[[], object]) -> None: ...


class _Done:
    """Where a thread of this process waits for a result."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()
        self._value: Any = None
        self._error: BaseException | None = None

    def __call__(self, value: Any, error: BaseException | None) -> bool:
        self._value, self._error = value, error
        self._lock.release()
        return True

    def result(self) -> Any:
        self._lock.acquire()
        if self._error is not None:
            raise self._error
        return self._value


def flush() -> None:
    """Let what a referent printed appear before its caller goes on."""
    try:
        sys.stdout.flush()
    except (AttributeError, ValueError, OSError):
        pass


def _has_own_init(kind: type) -> bool:
    # Only these may refuse the arguments that they were pickled with.
    of_kind: Any = kind
    return hasattr(of_kind.__init__, "__code__") or hasattr(kind.__new__, "__code__")


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr() raises {error!r}>"
    return text if len(text) <= 500 else text[:497] + "..."
