"""Functions as the workers get them: pickled once, kept by the workers, compared by their bytes."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType

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


class Function:
    """A function (with what is to be done around each call) and the worker's slot for it.

    ``average`` is the measured time of a call in seconds, None before the first.
    """

    __slots__ = ("average", "call", "function", "name", "payload", "serial", "slot", "soft_timeout")

    def __init__(
        self, serial: int, function: Callable[..., Any], payload: bytes, soft_timeout: float | None
    ) -> None:
        self.serial = serial
        self.slot = serial % SLOTS
        self.function = function
        self.payload = payload
        self.soft_timeout = soft_timeout
        self.name: str = getattr(function, "__qualname__", None) or type(function).__qualname__
        self.average: float | None = None


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
        plain = type(function) in (FunctionType, BuiltinFunctionType, type)
        if plain:
            known = self._by_identity.get((function, soft_timeout))
            if known is not None:
                return known
        payload = default_reducer.dumps(function) if self._pickling else b""
        found = self._by_payload.get((payload, soft_timeout)) if self._pickling else None
        if found is None:
            self._serial += 1
            found = Function(self._serial, function, payload, soft_timeout)
            if self._pickling:
                self._by_payload[payload, soft_timeout] = found
                if len(self._by_payload) > SLOTS // 2:
                    self._by_payload.pop(next(iter(self._by_payload)))
        if plain and len(payload) <= _BY_REFERENCE:
            self._by_identity[function, soft_timeout] = found
            if len(self._by_identity) > SLOTS // 2:
                self._by_identity.pop(next(iter(self._by_identity)))
        return found
