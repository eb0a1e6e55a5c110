"""Wrappers that keep a lock with a ctypes object and take it for each access."""

from __future__ import annotations

import ctypes
import sys
from weakref import WeakKeyDictionary

from procession_core import NotSupportedError
from procession_synchronize import RLock

from ._accessors import ArrayAccess, ValueAccess
from ._raw import describe, rebuild_ctype, standing_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

_SimpleCData = ctypes.c_int.__mro__[1]
# The typecodes of ctypes' simple types whose values the accessors read and write themselves.
_PLAIN = frozenset("bBhHiIlLqQfdc?")
# A type's attributes for itself in either byte order; those of one byte have one type for both.
_NATIVE, _SWAPPED = "__ctype_le__", "__ctype_be__"
if sys.byteorder == "big":
    _NATIVE, _SWAPPED = _SWAPPED, _NATIVE


class AlreadySynchronizedError(AssertionError):
    """The object given to ``synchronized()`` is a synchronized wrapper itself."""


class SynchronizedBase:
    """What all wrappers have: the object, its lock, and the lock's context manager."""

    def __init__(self, obj: Any, lock: Any = None, ctx: Any = None) -> None:
        if lock is None:
            lock = RLock() if ctx is None else ctx.RLock()
        self._obj = obj
        self._lock = lock
        self.acquire = lock.acquire
        self.release = lock.release

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        return self._lock.__exit__(kind, error, traceback)

    def __reduce__(self) -> tuple[object, ...]:
        found = standing_in(self._obj)
        if found is None:
            raise NotSupportedError(
                f"{type(self._obj).__name__} objects should only be shared between processes through "
                f"inheritance: {self._obj!r} does not stand in shared memory; make it with "
                "RawValue() or RawArray()"
            )
        return _rebuild, (*describe(self._obj, found, type(self).__name__), self._lock)

    def get_obj(self) -> Any:
        """Return the ctypes object."""
        return self._obj

    def get_lock(self) -> Any:
        """Return the lock."""
        return self._lock

    def __repr__(self) -> str:
        return f"<{type(self).__name__} wrapper for {self._obj!r}>"


def _rebuild(token: Any, where: Any, offset: int, lock: Any) -> Any:
    return synchronized(rebuild_ctype(token, where, offset), lock)


def _plain_code(type_: Any) -> str:
    """The typecode of a plain number in the machine's byte order, "" for all else."""
    code = getattr(type_, "_type_", "")
    if not issubclass(type_, _SimpleCData) or code not in _PLAIN:
        return ""
    if getattr(type_, _SWAPPED, type_) is type_ and getattr(type_, _NATIVE, type_) is not type_:
        return ""
    return str(code)


class Synchronized(ValueAccess, SynchronizedBase):
    """A scalar with its lock: ``value`` is read and written under it; ``+=`` needs ``with v.get_lock()``.

    Beyond multiprocessing: ``add()``, ``sub()``, ``exchange()``, ``compare_exchange()``, ``fetch_add()``,
    ``fetch_sub()``, ``fetch_and()``, ``fetch_or()``, ``fetch_xor()``, ``load()`` and ``store()`` are one
    step each and do not take the lock. They know nothing of those who do: use one way or the other for a
    value.
    """

    def __init__(self, obj: Any, lock: Any = None, ctx: Any = None) -> None:
        SynchronizedBase.__init__(self, obj, lock, ctx)
        code = _plain_code(type(obj)) if standing_in(obj) is not None else ""
        self._bind(obj, self._lock, code, ctypes.sizeof(obj), 1)


class SynchronizedArray(ArrayAccess, SynchronizedBase):
    """An array with its lock: items and slices are read and written under it.

    An array of several dimensions takes tuples as indices too. ``numpy.asarray()`` of it is a view with the
    right type and shape; it knows nothing of the lock.
    """

    def __init__(self, obj: Any, lock: Any = None, ctx: Any = None) -> None:
        SynchronizedBase.__init__(self, obj, lock, ctx)
        element = obj._type_
        code = _plain_code(element) if standing_in(obj) is not None else ""
        self._bind(obj, self._lock, code, ctypes.sizeof(element), len(obj))

    def __getslice__(self, start: int, stop: int) -> Any:
        return self[start:stop]

    def __setslice__(self, start: int, stop: int, values: Any) -> None:
        self[start:stop] = values


class SynchronizedString(SynchronizedArray):
    """An array of ``c_char`` with its lock, which is a string of bytes too."""

    @property
    def value(self) -> bytes:
        """The bytes up to the first NUL, read and written under the lock."""
        with self._lock:
            value: bytes = self._obj.value
            return value

    @value.setter
    def value(self, value: bytes) -> None:
        with self._lock:
            self._obj.value = value

    @property
    def raw(self) -> bytes:
        """All the bytes, read and written under the lock."""
        with self._lock:
            raw: bytes = self._obj.raw
            return raw

    @raw.setter
    def raw(self, value: bytes) -> None:
        with self._lock:
            self._obj.raw = value


_classes: WeakKeyDictionary[type, type] = WeakKeyDictionary()


def _field(name: str) -> property:
    def get(self: SynchronizedBase) -> Any:
        with self._lock:
            return getattr(self._obj, name)

    def put(self: SynchronizedBase, value: Any) -> None:
        with self._lock:
            setattr(self._obj, name, value)

    return property(get, put, doc=f"The field {name}, read and written under the lock.")


def _class_for(type_: Any) -> Any:
    """The wrapper class of a structure or union: a property for each field."""
    found = _classes.get(type_)
    if found is None:
        fields: dict[str, Any] = {}
        for base in reversed(type_.__mro__):
            for field in vars(base).get("_fields_", ()):
                fields[field[0]] = _field(field[0])
        fields["__module__"] = __name__
        found = _classes[type_] = type(f"Synchronized{type_.__name__}", (SynchronizedBase,), fields)
    return found


def synchronized(obj: Any, lock: Any = None, ctx: Any = None) -> Any:
    """Return a wrapper that takes *lock* for each access to the ctypes object *obj*.

    :param lock: any lock with ``acquire()`` and ``release()``; None makes an RLock (*ctx*'s, if given)

    Raises AssertionError if *obj* is a wrapper already, AttributeError for what is no ctypes object.
    (multiprocessing.sharedctypes.synchronized)
    """
    if isinstance(obj, SynchronizedBase):
        raise AlreadySynchronizedError(
            f"object already synchronized: {obj!r}; use it as it is, or its get_obj()"
        )
    if isinstance(obj, _SimpleCData):
        return Synchronized(obj, lock, ctx)
    if isinstance(obj, ctypes.Array):
        if obj._type_ is ctypes.c_char:
            return SynchronizedString(obj, lock, ctx)
        return SynchronizedArray(obj, lock, ctx)
    if isinstance(obj, (ctypes.Structure, ctypes.Union)):
        return _class_for(type(obj))(obj, lock, ctx)
    raise AttributeError(
        f"type object {type(obj).__name__!r} has no attribute '_fields_': only ctypes scalars, arrays, "
        f"structures and unions can be synchronized, not {obj!r}"
    )
