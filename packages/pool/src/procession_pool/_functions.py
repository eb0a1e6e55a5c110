"""Functions as the workers get them: pickled once, kept by the workers, compared by their bytes.

What has a state of its own (a bound method, a partial, an object with ``__call__``) is kept as its pickle and
unpickled for each task or chunk, as the standard library's workers do: what a task does to it is not seen by the
next. What is large, or is no more than an object in the pool's own process, is forgotten when its job is over.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType, ModuleType

from procession_core import default_reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CALL_ONE = 0
"""The task is the one argument."""
CALL_STAR = 1
"""The task is an iterable of arguments."""
CALL_ANY = 2
"""The task is (args, kwargs)."""
CALL_CHUNK = 3
"""The task is a list of CALL_ONE tasks, its result the list of their results."""
CALL_STAR_CHUNK = 4

SLOTS = 256
"""How many functions a worker keeps."""

_BY_REFERENCE = 200
"""A plain function whose pickle is no longer than this was pickled as a name, so it cannot change."""

_SMALL = 4000
"""A function whose pickle is longer than this is sent through a block, and not kept for later jobs."""


class Function:
    """A function (with what is to be done around each call) and the worker's slot for it.

    ``function`` is None where its pickle, ``payload``, is enough. ``average`` is the measured time of a call in
    seconds, None before the first.
    """

    __slots__ = ("average", "function", "name", "payload", "slot", "soft_timeout", "stateful", "transient")

    def __init__(
        self, serial: int, function: Callable[..., Any], soft_timeout: float | None, payload: bytes
    ) -> None:
        self.slot = serial % SLOTS
        self.function: Callable[..., Any] | None = function
        self.payload = payload
        self.soft_timeout = soft_timeout
        self.name: str = getattr(function, "__qualname__", None) or type(function).__qualname__
        self.average: float | None = None
        self.stateful = not _is_plain(function)
        self.transient = False


class FunctionTable:
    """The functions that a pool has sent last. Not safe for threads: the engine's lock guards it."""

    def __init__(self, pickling: bool) -> None:
        self._pickling = pickling
        self._serial = 0
        self._by_payload: dict[tuple[bytes, float | None], Function] = {}
        self._by_identity: dict[tuple[Callable[..., Any], float | None], Function] = {}

    def known(self, function: Callable[..., Any], soft_timeout: float | None) -> Function | None:
        """Return the entry of a plain function that was sent before, else None."""
        try:
            return self._by_identity.get((function, soft_timeout))
        except TypeError:  # not hashable
            return None

    def get(self, function: Callable[..., Any], soft_timeout: float | None) -> Function:
        """Return the entry of *function*. Raises what pickling it raises."""
        found = (
            self._pickled(function, soft_timeout)
            if self._pickling
            else self._new(function, soft_timeout, b"")
        )
        if found.stateful:
            named = False
        elif self._pickling:
            named = len(found.payload) <= _BY_REFERENCE and not found.transient
        else:
            named = getattr(sys.modules.get(function.__module__), function.__qualname__, None) is function
        if named:
            _keep(self._by_identity, (function, soft_timeout), found)
        elif not self._pickling:
            found.transient = True
        return found

    def _pickled(self, function: Callable[..., Any], soft_timeout: float | None) -> Function:
        payload = default_reducer.dumps(function)
        if len(payload) > _SMALL:
            found = self._new(function, soft_timeout, b"")
            found.transient = True
            return found
        known = self._by_payload.get((payload, soft_timeout))
        if known is not None:
            return known
        found = self._new(function, soft_timeout, payload)
        found.function = None
        _keep(self._by_payload, (payload, soft_timeout), found)
        return found

    def _new(self, function: Callable[..., Any], soft_timeout: float | None, payload: bytes) -> Function:
        self._serial += 1
        return Function(self._serial, function, soft_timeout, payload)


def _is_plain(function: Callable[..., Any]) -> bool:
    """Say whether calls of *function* cannot change it."""
    if type(function) is BuiltinFunctionType:
        return function.__self__ is None or type(function.__self__) is ModuleType
    return type(function) is FunctionType or isinstance(function, type)


def _keep(table: dict[Any, Function], key: Any, function: Function) -> None:
    table[key] = function
    if len(table) > SLOTS // 2:
        table.pop(next(iter(table)))
