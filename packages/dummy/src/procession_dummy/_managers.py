"""Manager, Namespace, Value, Array: plain objects, since threads share everything."""

from __future__ import annotations

import sys
from array import array
from threading import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class Namespace:
    """An object with nothing but attributes."""

    def __init__(self, /, **kwds: Any) -> None:
        self.__dict__.update(kwds)

    def __repr__(self) -> str:
        shown = sorted(
            f"{name}={value!r}" for name, value in self.__dict__.items() if not name.startswith("_")
        )
        return f"{type(self).__name__}({', '.join(shown)})"


class Value:
    """An object with a ``value`` and a lock. *typecode* is only remembered."""

    def __init__(self, typecode: Any, value: Any = 0, lock: Any = True) -> None:
        self._typecode = typecode
        self._value = value
        self._lock = RLock() if lock is True or lock is None else lock

    @property
    def value(self) -> Any:
        """The value."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value

    def get_lock(self) -> Any:
        """Return the lock."""
        return self._lock

    def get_obj(self) -> Value:
        """Return what the lock protects: this object."""
        return self

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._lock.__exit__(*error)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._typecode!r}, {self._value!r})>"


def Array(typecode: str, sequence: Iterable[Any] | int, lock: Any = True) -> array[Any]:
    """Return an ``array.array`` of *sequence*, or of that many zeros."""
    if isinstance(sequence, int):
        sequence = bytes(sequence) if typecode in "bB" else [0] * sequence
    return array(typecode, sequence)


dict: Callable[..., Any] = dict
list: Callable[..., Any] = list
set: Callable[..., Any] = set


def Manager() -> Any:
    """Return the module ``procession_dummy`` itself: it has all that a manager has."""
    return sys.modules[__package__]


def shutdown() -> None:
    """Do nothing."""
