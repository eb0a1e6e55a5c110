"""The referents of a server: what they are, who may do what with them, and who still needs them."""

from __future__ import annotations

import os

from ._locks import BoundedSemaphore, Lock, RLock, Semaphore
from ._protocol import GETVALUE, UPDATE
from ._queues import Queue
from ._signals import Barrier, Condition, Event
from ._values import Namespace, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_MISSING = object()

QUICK = frozenset(
    (
        Barrier,
        BoundedSemaphore,
        Condition,
        Event,
        Lock,
        Namespace,
        Queue,
        RLock,
        Semaphore,
        Value,
        bytearray,
        dict,
        frozenset,
        list,
        set,
        str,
        tuple,
    )
)
"""Types whose methods never block: the server calls them at once, without a thread."""


def public_methods(obj: object) -> list[str]:
    """Return the names of the methods of *obj* that do not begin with an underscore."""
    return [name for name in all_methods(obj) if name[0] != "_"]


def all_methods(obj: object) -> list[str]:
    """Return the names of all methods of *obj*."""
    return [name for name in dir(obj) if callable(getattr(obj, name, None))]


class Entry:
    """One referent."""

    __slots__ = ("calls", "exposed", "ident", "leaving", "nested", "obj", "quick", "refs", "typeids", "waits")

    def __init__(
        self,
        ident: str,
        obj: Any,
        exposed: frozenset[str],
        typeids: dict[str, str],
        quick: bool | None = None,
    ) -> None:
        self.ident = ident
        self.obj = obj
        self.exposed = exposed
        self.typeids = typeids
        kind = type(obj)
        self.quick = kind in QUICK or kind.__module__ == "array" if quick is None else quick
        self.waits: frozenset[str] = getattr(kind, "_waits_", frozenset()) if kind in QUICK else frozenset()
        self.refs = 0
        self.leaving = 0
        self.nested = False
        self.calls: dict[str, tuple[Callable[..., Any], bool, str | None]] = {}

    def find(self, name: str) -> tuple[Callable[..., Any], bool, str | None]:
        """Return the function to call for the method *name*, whether it wants to know its caller, and the
        typeid of a proxy to make of its result.

        Raises AttributeError if *name* is not exposed or does not exist.
        """
        if name in self.exposed:
            func = getattr(self.obj, name)
            found = (func, name in self.waits, self.typeids.get(name))
            if self.quick:
                self.calls[name] = found
            return found
        fallback = _FALLBACKS.get(name)
        if fallback is None or (name == UPDATE and "__setitem__" not in self.exposed):
            raise AttributeError(
                f"method {name!r} of {type(self.obj)!r} object is not in exposed={sorted(self.exposed)!r}; "
                "register(..., exposed=...) names what may be called"
            )
        obj = self.obj
        return (lambda *args: fallback(obj, *args)), False, None


def _update(obj: Any, key: Any, func: Callable[[Any], Any], default: tuple[Any, ...] = ()) -> Any:
    try:
        old = obj[key]
    except LookupError:
        if not default:
            raise
        old = default[0]
    new = obj[key] = func(old)
    return new


_FALLBACKS: dict[str, Callable[..., Any]] = {
    "__str__": str,
    "__repr__": repr,
    GETVALUE: lambda obj: obj,
    UPDATE: _update,
}


class Lease:
    """A client process, as long as it is connected: the references that it has, the locks that it holds.

    A process that runs CPython's package has one as long as it lives.
    """

    __slots__ = ("held", "name", "peers", "pid", "refs", "transits", "watch")

    def __init__(self, pid: int, name: str) -> None:
        self.pid = pid
        self.name = name
        self.peers: set[Any] = set()
        self.refs: dict[str, int] = {}
        self.held: set[Any] = set()
        self.transits: set[bytes] = set()
        self.watch = -1
        """A descriptor that tells the end of a process whose connections do not (_foreign.py)."""


class Objects:
    """All referents of a server."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._idents: dict[tuple[int, frozenset[str]], str] = {}

    def add(
        self, obj: Any, exposed: Iterable[str], typeids: dict[str, str], quick: bool | None = None
    ) -> Entry:
        """Return the entry of *obj* with this exposure, a new one if it has none."""
        names = frozenset(exposed)
        key = (id(obj), names)
        ident = self._idents.get(key)
        if ident is not None:
            return self.entries[ident]
        # Random, so that a token of another server, or of one that was here before, names nothing.
        ident = os.urandom(8).hex()
        self._idents[key] = ident
        entry = self.entries[ident] = Entry(ident, obj, names, typeids, quick)
        return entry

    def find(self, ident: Any) -> Entry:
        """Return the entry of *ident*. Raises KeyError."""
        try:
            return self.entries[ident]
        except (KeyError, TypeError):
            raise KeyError(
                f"{ident!r}: no such object in this manager; the last proxy of it is gone, or the manager was restarted"
            ) from None

    def hold(self, ident: str, count: int = 1) -> Entry:
        """Count *count* more references. Raises KeyError."""
        entry = self.find(ident)
        entry.refs += count
        return entry

    def release(self, ident: str, count: int = 1) -> Any:
        """Count *count* references less; return the referent if that was the last one, for the caller to let
        go of it.
        """
        entry = self.entries.get(ident)
        if entry is None:
            return None
        entry.refs -= count
        if entry.refs > 0:
            return None
        del self.entries[ident]
        self._idents.pop((id(entry.obj), entry.exposed), None)
        obj, entry.obj = entry.obj, None
        entry.calls.clear()
        return obj
