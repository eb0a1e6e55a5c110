"""The accessors of the synchronized wrappers, in Python. Atomic operations take the lock here."""

from __future__ import annotations

from operator import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INTEGERS = frozenset("bBhHiIlLqQ")
_FLOATS = frozenset("fd")


class _Access:
    """The object, its lock and its typecode."""

    def _bind(self, obj: Any, lock: Any, code: str, itemsize: int, count: int) -> None:
        self._target = obj
        self._guard = lock
        self._code = code

    def get_lock(self) -> Any:
        """Return the lock."""
        return self._guard

    def get_obj(self) -> Any:
        """Return the ctypes object."""
        return self._target


class ValueAccess(_Access):
    """The accessors of a synchronized scalar."""

    @property
    def value(self) -> Any:
        """The value, read and written under the lock."""
        with self._guard:
            return self._target.value

    @value.setter
    def value(self, value: Any) -> None:
        with self._guard:
            self._target.value = value

    def _change(self, what: str, operand: Any, change: Any, floats: bool = False) -> tuple[Any, Any]:
        if self._code in _INTEGERS:
            operand = index(operand)
        elif not (floats and self._code in _FLOATS):
            raise TypeError(f"{what}() does not work on {self._target!r}")
        target = self._target
        with self._guard:
            before = target.value
            target.value = change(before, operand)
            return before, target.value

    def add(self, n: Any = 1) -> Any:
        """Add in one step; return the new value."""
        return self._change("add", n, lambda a, b: a + b, True)[1]

    def sub(self, n: Any = 1) -> Any:
        """Subtract in one step; return the new value."""
        return self._change("sub", n, lambda a, b: a - b, True)[1]

    def fetch_add(self, n: Any = 1) -> Any:
        """As ``add()``, but return the value before."""
        return self._change("add", n, lambda a, b: a + b, True)[0]

    def fetch_sub(self, n: Any = 1) -> Any:
        """As ``sub()``, but return the value before."""
        return self._change("sub", n, lambda a, b: a - b, True)[0]

    def fetch_and(self, n: int) -> int:
        """Bitwise and in one step; return the value before."""
        return int(self._change("and", n, lambda a, b: a & b)[0])

    def fetch_or(self, n: int) -> int:
        """Bitwise or in one step; return the value before."""
        return int(self._change("or", n, lambda a, b: a | b)[0])

    def fetch_xor(self, n: int) -> int:
        """Bitwise exclusive or in one step; return the value before."""
        return int(self._change("xor", n, lambda a, b: a ^ b)[0])

    def _check_plain(self, what: str) -> None:
        if not self._code:
            raise TypeError(f"{what}() does not work on {self._target!r}")

    def exchange(self, new: Any) -> Any:
        """Store in one step; return the value before."""
        self._check_plain("exchange")
        with self._guard:
            before = self._target.value
            self._target.value = new
            return before

    def compare_exchange(self, expected: Any, new: Any) -> bool:
        """Store *new* if the value is *expected*, in one step; return whether it was."""
        self._check_plain("compare_exchange")
        wanted = type(self._target)(expected).value
        with self._guard:
            if self._target.value != wanted:
                return False
            self._target.value = new
            return True

    def load(self) -> Any:
        """Return the value without the lock."""
        self._check_plain("load")
        return self._target.value

    def store(self, new: Any) -> None:
        """Set the value without the lock."""
        self._check_plain("store")
        self._target.value = new


class ArrayAccess(_Access):
    """The accessors of a synchronized array."""

    def __len__(self) -> int:
        return len(self._target)

    def __getitem__(self, key: Any) -> Any:
        with self._guard:
            if isinstance(key, tuple):
                place = self._target
                for part in key:
                    place = place[part]
                return place
            return self._target[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        with self._guard:
            if isinstance(key, tuple):
                place = self._target
                for part in key[:-1]:
                    place = place[part]
                place[key[-1]] = value
            else:
                self._target[key] = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        # Before Python 3.12 a class in Python has no buffer; the ctypes array has one.
        import numpy

        view = numpy.asarray(self._target, dtype)
        return view.copy() if copy else view
