"""The proxies of Python's own types, with all their operators, and of the synchronisation types."""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSequence, MutableSet
from time import monotonic

from ._protocol import UPDATE
from ._proxy import BaseProxy, MakeProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

_MISSING = object()
_GenericAlias = type(list[int])  # types would cost an import


def _plain(other: Any) -> Any:
    # An operand that is a proxy stands for its referent.
    return other._getvalue() if isinstance(other, BaseProxy) else other


class IteratorProxy(BaseProxy):
    """A proxy of an iterator or a generator."""

    _exposed_ = ("__next__", "send", "throw", "close")

    def __iter__(self) -> IteratorProxy:
        return self

    def __next__(self, *args: Any) -> Any:
        return self._callmethod("__next__", args)

    def send(self, *args: Any) -> Any:
        """As the generator's method."""
        return self._callmethod("send", args)

    def throw(self, *args: Any) -> Any:
        """As the generator's method."""
        return self._callmethod("throw", args)

    def close(self, *args: Any) -> Any:
        """As the generator's method."""
        return self._callmethod("close", args)


class AcquirerProxy(BaseProxy):
    """A proxy of a lock or a semaphore. All calls but ``acquire()`` return at once."""

    _exposed_: tuple[str, ...] = ("acquire", "release", "locked")

    def acquire(self, blocking: Any = True, timeout: float | None = None) -> Any:
        """Take it; False if that was not possible within *timeout* seconds (None for ever).

        Raises OwnerDiedError once if a process ended while it held a lock.
        """
        return self._callmethod("acquire", (blocking,) if timeout is None else (blocking, timeout))

    def release(self, *args: Any) -> Any:
        """Give it back. Raises RuntimeError or ValueError as threading's types do."""
        return self._callmethod("release", args)

    def locked(self) -> Any:
        """Say whether it could not be taken now."""
        return self._callmethod("locked")

    def __enter__(self) -> Any:
        return self._callmethod("acquire")

    def __exit__(self, *_: object) -> Any:
        return self._callmethod("release")


class SemaphoreProxy(AcquirerProxy):
    """A proxy of a semaphore."""

    _exposed_ = ("acquire", "release", "locked", "get_value")

    def get_value(self) -> Any:
        """Return the number of permits left."""
        return self._callmethod("get_value")


class ConditionProxy(AcquirerProxy):
    """A proxy of a condition variable."""

    _exposed_ = ("acquire", "release", "locked", "wait", "notify", "notify_all")

    def wait(self, timeout: float | None = None) -> Any:
        """Wait at most *timeout* seconds (None for ever) for a notification; False if there was none."""
        return self._callmethod("wait", (timeout,))

    def notify(self, n: int = 1) -> Any:
        """Wake at most *n* that wait."""
        return self._callmethod("notify", (n,))

    def notify_all(self) -> Any:
        """Wake all that wait."""
        return self._callmethod("notify_all")

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until ``predicate()`` is true, at most *timeout* seconds; return its last result."""
        result = predicate()
        if result:
            return result
        end = None if timeout is None else monotonic() + timeout
        while not result:
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result


class EventProxy(BaseProxy):
    """A proxy of an event."""

    _exposed_ = ("is_set", "set", "clear", "wait")
    _reading_ = ("is_set", "wait")

    def is_set(self) -> Any:
        """Say whether the event is set."""
        return self._callmethod("is_set")

    def set(self) -> Any:
        """Set the event."""
        return self._callmethod("set")

    def clear(self) -> Any:
        """Unset the event."""
        return self._callmethod("clear")

    def wait(self, timeout: float | None = None) -> Any:
        """Wait at most *timeout* seconds (None for ever) until the event is set; False if it was not."""
        return self._callmethod("wait", (timeout,))


class BarrierProxy(BaseProxy):
    """A proxy of a barrier."""

    _exposed_ = ("__getattribute__", "wait", "abort", "reset")

    def wait(self, timeout: float | None = None) -> Any:
        """Wait at most *timeout* seconds for the others. Raises BrokenBarrierError."""
        return self._callmethod("wait", (timeout,))

    def abort(self) -> Any:
        """Break the barrier."""
        return self._callmethod("abort")

    def reset(self) -> Any:
        """Make the barrier as new."""
        return self._callmethod("reset")

    @property
    def parties(self) -> Any:
        """How many have to come."""
        return self._callmethod("__getattribute__", ("parties",))

    @property
    def n_waiting(self) -> Any:
        """How many are waiting."""
        return self._callmethod("__getattribute__", ("n_waiting",))

    @property
    def broken(self) -> Any:
        """Whether the barrier is broken."""
        return self._callmethod("__getattribute__", ("broken",))


class NamespaceProxy(BaseProxy):
    """A proxy of a namespace: its attributes are the referent's, but those that begin with an underscore."""

    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__")
    _reading_ = ("__getattribute__",)

    def __getattr__(self, key: str) -> Any:
        if key[0] == "_":
            return object.__getattribute__(self, key)
        return self._callmethod("__getattribute__", (key,))

    def __setattr__(self, key: str, value: Any) -> None:
        if key[0] == "_":
            object.__setattr__(self, key, value)
        else:
            self._callmethod("__setattr__", (key, value))

    def __delattr__(self, key: str) -> None:
        if key[0] == "_":
            object.__delattr__(self, key)
        else:
            self._callmethod("__delattr__", (key,))


class ValueProxy(BaseProxy):
    """A proxy of an object with a ``value``."""

    _exposed_ = ("get", "set", "add", "update")
    _reading_ = ("get",)

    def get(self) -> Any:
        """Return the value."""
        return self._callmethod("get")

    def set(self, value: Any) -> Any:
        """Set the value."""
        return self._callmethod("set", (value,))

    value = property(get, set)

    def add(self, amount: Any) -> Any:
        """Add *amount* to the value in one step; return the new value."""
        return self._callmethod("add", (amount,))

    def update(self, func: Callable[[Any], Any]) -> Any:
        """Set the value to ``func(value)`` in one step; return the new value.

        *func* runs in the server, where nothing else happens in the meantime: let it be short.
        """
        return self._callmethod("update", (func,))

    __class_getitem__: Any = classmethod(_GenericAlias)


BaseListProxy: Any = MakeProxyType(
    "BaseListProxy",
    (
        "__add__",
        "__contains__",
        "__delitem__",
        "__getitem__",
        "__imul__",
        "__len__",
        "__mul__",
        "__reversed__",
        "__rmul__",
        "__setitem__",
        "append",
        "clear",
        "copy",
        "count",
        "extend",
        "index",
        "insert",
        "pop",
        "remove",
        "reverse",
        "sort",
    ),
)


class ListProxy(BaseListProxy):  # type: ignore[misc]
    """A proxy of a list."""

    _exposed_ = (*BaseListProxy._exposed_, "__iadd__", "__iter__")
    _reading_ = (
        "__add__",
        "__contains__",
        "__getitem__",
        "__len__",
        "__mul__",
        "__rmul__",
        "copy",
        "count",
        "index",
    )
    __hash__ = BaseProxy.__hash__

    def __add__(self, other: Any) -> Any:
        return self._callmethod("__add__", (_plain(other),))

    def __radd__(self, other: Any) -> Any:
        return other + self._getvalue()

    def __iadd__(self, other: Any) -> Any:
        self._callmethod("extend", (_plain(other),))
        return self

    def __imul__(self, number: int) -> ListProxy:
        self._callmethod("__imul__", (number,))
        return self

    def __iter__(self) -> Iterator[Any]:
        index = 0
        while True:
            try:
                value = self[index]
            except IndexError:
                return
            yield value
            index += 1

    def __reversed__(self) -> Iterator[Any]:
        return iter(list(reversed(self._getvalue())))

    def __lt__(self, other: Any) -> bool:
        return bool(self._getvalue() < _plain(other))

    def __le__(self, other: Any) -> bool:
        return bool(self._getvalue() <= _plain(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self._getvalue() > _plain(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self._getvalue() >= _plain(other))

    def update_item(self, index: int, func: Callable[[Any], Any]) -> Any:
        """Replace an item by ``func(item)`` in one step; return the new item.

        *func* runs in the server, where nothing else happens in the meantime: let it be short.
        """
        self._link.needs_procession("update_item()")
        return self._callmethod(UPDATE, (index, func))

    __class_getitem__: Any = classmethod(_GenericAlias)


_BaseDictProxy: Any = MakeProxyType(
    "_BaseDictProxy",
    (
        "__contains__",
        "__delitem__",
        "__getitem__",
        "__len__",
        "__or__",
        "__ror__",
        "__setitem__",
        "clear",
        "copy",
        "get",
        "items",
        "keys",
        "pop",
        "popitem",
        "setdefault",
        "update",
        "values",
    ),
)


class DictProxy(_BaseDictProxy):  # type: ignore[misc]
    """A proxy of a dictionary. ``keys()``, ``values()`` and ``items()`` return lists."""

    _exposed_ = (*_BaseDictProxy._exposed_, "__ior__", "__iter__", "__reversed__", "fromkeys")
    _method_to_typeid_ = {"__iter__": "Iterator"}
    _reading_ = (
        "__contains__",
        "__getitem__",
        "__iter__",
        "__len__",
        "__or__",
        "__ror__",
        "copy",
        "get",
        "items",
        "keys",
        "values",
    )
    __hash__ = BaseProxy.__hash__

    def __iter__(self) -> Iterator[Any]:
        return self._callmethod("__iter__")  # type: ignore[no-any-return]

    def __reversed__(self) -> Iterator[Any]:
        return iter(list(reversed(self.keys())))

    def __or__(self, other: Any) -> Any:
        return self._callmethod("__or__", (_plain(other),))

    def __ror__(self, other: Any) -> Any:
        return self._callmethod("__ror__", (_plain(other),))

    def __ior__(self, other: Any) -> DictProxy:
        self._callmethod("update", (_plain(other),))
        return self

    def fromkeys(self, iterable: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        """Return a new dict with the keys of *iterable*, all with *value*."""
        return dict.fromkeys(iterable, value)

    def update_item(self, key: Any, func: Callable[[Any], Any], default: Any = _MISSING) -> Any:
        """Replace the value of *key* by ``func(value)`` in one step; return the new value.

        ``func(default)`` is set if there is none, where *default* is given. *func* runs in the server, where
        nothing else happens in the meantime: let it be short. Raises KeyError, and what *func* raises.
        """
        self._link.needs_procession("update_item()")
        return self._callmethod(UPDATE, (key, func) if default is _MISSING else (key, func, (default,)))

    __class_getitem__: Any = classmethod(_GenericAlias)


_BaseSetProxy: Any = MakeProxyType(
    "_BaseSetProxy",
    (
        "__and__",
        "__contains__",
        "__len__",
        "__or__",
        "__rand__",
        "__ror__",
        "__rsub__",
        "__rxor__",
        "__sub__",
        "__xor__",
        "add",
        "clear",
        "copy",
        "difference",
        "difference_update",
        "discard",
        "intersection",
        "intersection_update",
        "isdisjoint",
        "issubset",
        "issuperset",
        "pop",
        "remove",
        "symmetric_difference",
        "symmetric_difference_update",
        "union",
        "update",
    ),
)


def _set_operator(name: str) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        return self._callmethod(name, (_plain(other),))

    method.__name__ = method.__qualname__ = name
    return method


def _set_update(name: str) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        if self._callmethod(name, (_plain(other),)) is NotImplemented:
            return NotImplemented
        return self

    method.__name__ = method.__qualname__ = name
    return method


class SetProxy(_BaseSetProxy):  # type: ignore[misc]
    """A proxy of a set."""

    _exposed_ = (
        *_BaseSetProxy._exposed_,
        "__eq__",
        "__ge__",
        "__gt__",
        "__iand__",
        "__ior__",
        "__isub__",
        "__iter__",
        "__ixor__",
        "__le__",
        "__lt__",
        "__ne__",
    )
    _method_to_typeid_ = {"__iter__": "Iterator"}
    _reading_ = (
        "__and__",
        "__contains__",
        "__eq__",
        "__ge__",
        "__gt__",
        "__iter__",
        "__le__",
        "__len__",
        "__lt__",
        "__ne__",
        "__or__",
        "__rand__",
        "__ror__",
        "__rsub__",
        "__rxor__",
        "__sub__",
        "__xor__",
        "copy",
        "difference",
        "intersection",
        "isdisjoint",
        "issubset",
        "issuperset",
        "symmetric_difference",
        "union",
    )
    __hash__ = BaseProxy.__hash__

    __and__ = _set_operator("__and__")
    __or__ = _set_operator("__or__")
    __sub__ = _set_operator("__sub__")
    __xor__ = _set_operator("__xor__")
    __rand__ = _set_operator("__rand__")
    __ror__ = _set_operator("__ror__")
    __rsub__ = _set_operator("__rsub__")
    __rxor__ = _set_operator("__rxor__")
    __iand__ = _set_update("__iand__")
    __ior__ = _set_update("__ior__")
    __isub__ = _set_update("__isub__")
    __ixor__ = _set_update("__ixor__")
    __lt__ = _set_operator("__lt__")
    __le__ = _set_operator("__le__")
    __gt__ = _set_operator("__gt__")
    __ge__ = _set_operator("__ge__")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return bool(self._getvalue() == _plain(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __iter__(self) -> Iterator[Any]:
        return self._callmethod("__iter__")  # type: ignore[no-any-return]

    __class_getitem__: Any = classmethod(_GenericAlias)


MutableMapping.register(DictProxy)
MutableMapping.register(_BaseDictProxy)
MutableSequence.register(ListProxy)
MutableSequence.register(BaseListProxy)
MutableSet.register(SetProxy)
MutableSet.register(_BaseSetProxy)


ArrayProxy: Any = MakeProxyType("ArrayProxy", ("__getitem__", "__len__", "__setitem__"))


_BasePoolProxy: Any = MakeProxyType(
    "_BasePoolProxy",
    (
        "apply",
        "apply_async",
        "close",
        "imap",
        "imap_unordered",
        "join",
        "map",
        "map_async",
        "starmap",
        "starmap_async",
        "terminate",
    ),
)


class PoolProxy(_BasePoolProxy):  # type: ignore[misc]
    """A proxy of a Pool. The ``async`` methods return proxies of results, ``imap`` proxies of iterators."""

    _method_to_typeid_ = {
        "apply_async": "AsyncResult",
        "imap": "Iterator",
        "imap_unordered": "Iterator",
        "map_async": "AsyncResult",
        "starmap_async": "AsyncResult",
    }

    def __enter__(self) -> PoolProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()
