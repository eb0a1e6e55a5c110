"""Namespace and Value, as a server keeps them, and the maker of arrays."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable
    from typing import Any


class Namespace:
    """An object with nothing but attributes."""

    def __init__(self, /, **kwds: Any) -> None:
        self.__dict__.update(kwds)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        shown = sorted(
            f"{name}={value!r}" for name, value in self.__dict__.items() if not name.startswith("_")
        )
        return f"{type(self).__name__}({', '.join(shown)})"


class Value:
    """An object with a ``value``. *typecode* and *lock* are only remembered."""

    def __init__(self, typecode: Any, value: Any, lock: Any = True) -> None:
        self._typecode = typecode
        self._value = value

    def get(self) -> Any:
        """Return the value."""
        return self._value

    def set(self, value: Any) -> None:
        """Set the value."""
        self._value = value

    def add(self, amount: Any) -> Any:
        """Add *amount* to the value in one step; return the new value."""
        self._value += amount
        return self._value

    def update(self, func: Callable[[Any], Any]) -> Any:
        """Set the value to ``func(value)`` in one step; return the new value."""
        self._value = func(self._value)
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._typecode!r}, {self._value!r})"

    value = property(get, set)


def Array(typecode: str, sequence: Iterable[Any], lock: Any = True) -> array[Any]:
    """Return an ``array.array``. *lock* is accepted for the sake of the documented signature."""
    from array import array

    return array(typecode, sequence)
