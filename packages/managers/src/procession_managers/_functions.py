"""What a server does itself: creating referents, counting references, telling about itself."""

from __future__ import annotations

import os
from time import monotonic

from procession_core import debug

from ._objects import QUICK, Entry, public_methods
from ._protocol import BATCH, ERROR, PROXY, RETURN, TRACEBACK
from ._proxy import BaseProxy
from ._signals import Condition
from ._token import Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._objects import Objects
    from ._peer import Peer
    from ._workers import Workers

_TRANSIT_LIMIT_SECONDS = 3600.0
_TRANSIT_SWEEP_SECONDS = 600.0


_CLASSIC = frozenset(
    (
        "accept_connection",
        "create",
        "debug_info",
        "decref",
        "dummy",
        "get_methods",
        "incref",
        "number_of_objects",
        "shutdown",
    )
)


class Functions:
    """The part of the server behind requests that name no referent. All methods hold the gate, but those that
    run in a thread.
    """

    objects: Objects
    foreigners: Any
    workers: Workers
    registry: dict[str, Any]
    transits: dict[bytes, Any]
    address: Any
    gate: Any
    stopping: bool
    sweeping = False

    if TYPE_CHECKING:

        def send(self, peer: Peer, data: bytes) -> bool: ...
        def freed(self, peer: Peer) -> None: ...
        def wake(self) -> None: ...
        def drop_peer(self, peer: Peer) -> None: ...
        def grant(self, peer: Peer, ident: str) -> bool: ...
        def redeem(self, transit: bytes) -> bool: ...
        def prepare_lane(self, peer: Peer, handle: tuple[Any, ...]) -> tuple[Any, bytes] | None: ...
        def enter_lane(self, peer: Peer) -> None: ...
        def later(self, when: float, callback: Callable[[], object]) -> None: ...
        def encode_error(self, peer: Peer, kind: str, error: BaseException) -> bytes: ...
        def encode_value(self, peer: Peer, value: Any) -> bytes: ...
        def call_here(
            self, caller: Any, ident: str, name: str, args: Any, kwds: Any
        ) -> tuple[Entry, str | None, Any]: ...

    def function(self, peer: Peer, name: str, args: Any, kwds: Any) -> None:
        """Carry out a request without an ident and answer it."""
        if (name == "create" and not self._is_quick(args)) or name == BATCH:
            peer.busy = True
            self.workers.submit(self._function_slowly, peer, name, args, kwds)
        else:
            self._answer(peer, self._call(peer, name, args, kwds), name)

    def _function_slowly(self, peer: Peer, name: str, args: Any, kwds: Any) -> None:
        data = self._call(peer, name, args, kwds)
        with self.gate:
            self._answer(peer, data, name)
            if not peer.closed:
                self.freed(peer)

    def _call(self, peer: Peer, name: str, args: Any, kwds: Any) -> bytes:
        try:
            func = self.functions.get(name)
            if func is None or (name not in _CLASSIC and not peer.marked):
                raise AttributeError(
                    f"{name!r} unrecognized: the server has no such function, or not for clients of CPython's package"
                )
            result = func(self, peer, *args, **kwds)
        except BaseException as error:
            return self.encode_error(peer, TRACEBACK, error)
        return self.encode_value(peer, result)

    def _answer(self, peer: Peer, data: bytes, name: str) -> None:
        self.send(peer, data)
        if name == "accept_connection":
            peer.accepted = True
        elif name == "lane":
            self.enter_lane(peer)
        elif not peer.accepted and not peer.closed and not peer.outbox:
            # CPython's clients make a connection for each of these requests, and wait for its end.
            self.drop_peer(peer)

    def _is_quick(self, args: Any) -> bool:
        registered = self.registry.get(args[0]) if args else None
        if registered is None:
            return True
        maker = registered[0]
        return maker is None or maker in QUICK or getattr(maker, "__module__", "").startswith(__package__)

    # ---- the functions ---------------------------------------------------------------------------------------

    def create(self, peer: Any, typeid: str, /, *args: Any, **kwds: Any) -> tuple[str, tuple[str, ...]]:
        """Make a referent of the registered type *typeid*; return its ident and its exposed methods."""
        try:
            maker = self.registry[typeid][0]
        except KeyError:
            raise KeyError(
                f"{typeid!r} is not registered with this manager's server; call register() there before it starts"
            ) from None
        if maker is None:
            if kwds or len(args) != 1:
                raise ValueError(
                    "Without callable, must have one non-keyword argument: the object to share. "
                    f"{typeid!r} is registered without; it was given {len(args)} and the keywords {sorted(kwds)}"
                )
            obj = args[0]
        else:
            if maker is Condition:
                args = tuple(self.referent(arg) for arg in args)
            obj = maker(*args, **kwds)
        exposed, ident = self.make(peer, typeid, obj)
        return ident, exposed

    def make(self, peer: Any, typeid: str, obj: Any, nested: bool = False) -> tuple[tuple[str, ...], str]:
        """Make an entry for *obj* with a reference for *peer*; return what is exposed, and its ident."""
        registered = self.registry[typeid]
        _, exposed, typeids = registered[:3]
        names = public_methods(obj) if exposed is None else list(exposed)
        if typeids is not None:
            if not isinstance(typeids, dict):
                raise TypeError(
                    f"Method_to_typeid {typeids!r}: type {type(typeids)!s}, not dict; map names of methods to typeids"
                )
            names += [name for name in typeids if name not in names]
        blocking = registered[3] if len(registered) > 4 else None
        with self.gate:
            entry = self.objects.add(obj, names, typeids or {}, None if blocking is None else not blocking)
            entry.nested = entry.nested or nested
            self._hold(peer, entry.ident)
        return tuple(names), entry.ident

    def referent_of(self, typeid: str, result: Any) -> Any:
        """Return the referent for the *result* of a method that is mapped to *typeid*. May run the user's code.

        What is registered with *typeid* makes it of the result, as of an argument: a list of a view, say. A result
        that is of that type already is the referent.
        """
        maker = self.registry[typeid][0]
        if maker is None or (isinstance(maker, type) and isinstance(result, maker)):
            return result
        return maker(result)

    def _hold(self, peer: Any, ident: str) -> None:
        if not self.grant(peer, ident):
            self.objects.hold(ident)

    def nest(self, peer: Any, obj: Any) -> tuple[str, tuple[str, ...], str]:
        """Make a referent of a plain container whose inner containers are reached through proxies."""
        for kind, typeid in ((dict, "dict"), (list, "list")):
            if type(obj) is kind:
                exposed, ident = self.make(peer, typeid, obj, nested=True)
                return ident, exposed, typeid
        raise TypeError(f"nested() takes a dict or a list, not {type(obj)!r}")

    def referent(self, value: Any) -> Any:
        """Return what *value* stands for, if it is a proxy of a referent here; else *value* itself."""
        if isinstance(value, BaseProxy) and value._link is getattr(self, "local_link", None):
            return self.objects.find(value._id).obj
        return value

    def restrict(self, peer: Any, ident: str, names: Any) -> tuple[str, tuple[str, ...]]:
        """Return another ident of the same referent, which exposes only *names*."""
        entry = self.objects.find(ident)
        names = [name for name in names if name in entry.exposed]
        typeids = {name: typeid for name, typeid in entry.typeids.items() if name in names}
        other = self.objects.add(entry.obj, names, typeids, entry.quick)
        other.nested = False
        self._hold(peer, other.ident)
        return other.ident, tuple(names)

    def incref(self, peer: Any, ident: str, transit: bytes | None = None) -> None:
        """Count a reference on *ident* for the client."""
        self._hold(peer, ident)
        if transit is not None:
            self.redeem(transit)

    def decref(self, peer: Any, ident: str) -> None:
        """Count a reference less."""
        self.objects.find(ident)
        lease = getattr(peer, "lease", None)
        if lease is not None:
            if lease.watch >= 0 and not lease.refs.get(ident):
                # CPython's rule: whoever knows an ident may count it down, also for another process.
                lease = self.foreigners.holder(ident)
        if lease is not None:
            have = lease.refs.get(ident, 0)
            if not have:
                raise ValueError(f"this process has no reference on {ident!r} to give back")
            if have == 1:
                del lease.refs[ident]
            else:
                lease.refs[ident] = have - 1
        self.objects.release(ident)

    def transit(self, peer: Any, ident: str) -> bytes:
        """Count a reference for a pickle on its way, and return its name."""
        self.objects.hold(ident)
        name = os.urandom(12)
        lease = getattr(peer, "lease", None)
        now = monotonic()
        self.transits[name] = (ident, lease, now)
        if lease is not None:
            lease.transits.add(name)
        if not self.sweeping:
            self.sweeping = True
            self.later(now + _TRANSIT_SWEEP_SECONDS, self.sweep_transits)
        return name

    def sweep_transits(self) -> None:
        """Release the references whose pickles nobody has read for long."""
        old = monotonic() - _TRANSIT_LIMIT_SECONDS
        for name, found in list(self.transits.items()):
            if found[2] < old:
                self.redeem(name)
        self.sweeping = bool(self.transits)
        if self.sweeping:
            self.later(monotonic() + _TRANSIT_SWEEP_SECONDS, self.sweep_transits)

    def get_methods(self, peer: Any, token: Token) -> tuple[str, ...]:
        """Return the names of the methods that the referent of *token* exposes."""
        return tuple(sorted(self.objects.find(token.id).exposed))

    def number_of_objects(self, peer: Any) -> int:
        """Return how many referents somebody needs."""
        return sum(entry.refs > entry.leaving for entry in self.objects.entries.values())

    def debug_info(self, peer: Any) -> str:
        """Return a text that lists the referents, their reference counts and the beginning of their str()."""
        lines = []
        for ident, entry in sorted(self.objects.entries.items()):
            if entry.refs > entry.leaving:
                try:
                    shown = str(entry.obj)[:75]
                except Exception as error:
                    shown = f"<str() raises {error!r}>"
                lines.append(f"  {ident}:       refcount={entry.refs - entry.leaving}\n    {shown}")
        return "\n".join(lines)

    def batch(self, peer: Any, calls: list[tuple[str, str, Any, Any]]) -> list[tuple[str, Any]]:
        """Carry out several calls, one after the other; return their kinds and values. Runs in a thread."""
        answers: list[tuple[str, Any]] = []
        for ident, name, args, kwds in calls:
            try:
                _, typeid, result = self.call_here(peer, ident, name, args, kwds)
            except Exception as error:
                answers.append((ERROR, error))
            else:
                if typeid:
                    exposed, made = self.make(peer, typeid, self.referent_of(typeid, result))
                    answers.append((PROXY, (exposed, Token(typeid, self.address, made))))
                else:
                    answers.append((RETURN, result))
        return answers

    def lane(self, peer: Any, handle: tuple[Any, ...]) -> tuple[Any, bytes] | None:
        """Answer through the queue *handle* from now on; return where to put requests, and what behind them.

        None if the client is not of this process tree.
        """
        return self.prepare_lane(peer, handle)

    def dummy(self, peer: Any) -> None:
        """Do nothing."""

    def accept_connection(self, peer: Any, name: str) -> None:
        """Let the connection carry calls from now on. *name* is the client thread's, for people."""
        debug("manager server serves %s", name)

    def shutdown(self, peer: Any) -> None:
        """End the server."""
        self.stopping = True
        self.wake()

    functions: dict[str, Callable[..., Any]] = {
        BATCH: batch,
        "accept_connection": accept_connection,
        "create": create,
        "debug_info": debug_info,
        "decref": decref,
        "dummy": dummy,
        "get_methods": get_methods,
        "incref": incref,
        "lane": lane,
        "nest": nest,
        "number_of_objects": number_of_objects,
        "restrict": restrict,
        "shutdown": shutdown,
        "transit": transit,
    }
