"""Value and the manager's list, dict and Namespace, as variables of the scheduler.

Not Dask actors: an actor lives on one worker and dies with it, and a task that calls an actor of its own
worker waits for itself.
A change is a read, a write and a lock, five round trips to the scheduler; a read is one.
"""

from __future__ import annotations

from types import SimpleNamespace

from procession_core import NotSupportedError

from ._engine import dask
from ._sync import Lock, RLock, _Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_READING = frozenset(
    (
        "__add__", "__contains__", "__getitem__", "__len__", "__mul__", "copy", "count", "get", "index", "items",
        "keys", "values",
    )
)  # fmt: skip


class _Remote(_Named):
    """A value that the scheduler keeps."""

    def __init__(self, engine: Any, value: Any) -> None:
        super().__init__(engine)
        self._guard = Lock(engine)
        self._store(value)

    def _make(self) -> Any:
        return dask().Variable(self._name, client=self._client)

    def _load(self) -> Any:
        import cloudpickle

        return cloudpickle.loads(self._ask("get"))

    def _store(self, value: Any) -> None:
        import cloudpickle

        self._ask("set", cloudpickle.dumps(value))

    def _change(self, change: Callable[[Any], Any]) -> Any:
        """Apply change(value) -> (new value, result) as one step."""
        with self._guard:
            value, result = change(self._load())
            self._store(value)
        return result

    def _method(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name in _READING:
            result = getattr(self._load(), name)(*args, **kwargs)
            return list(result) if name in ("keys", "values", "items") else result

        def change(value: Any) -> tuple[Any, Any]:
            result = getattr(value, name)(*args, **kwargs)
            return value, result

        return self._change(change)


class Value(_Remote):
    """A number that all tasks see; ``get_lock()`` guards what needs more than one step, ``add()`` is one
    step.
    """

    def __init__(self, engine: Any, typecode_or_type: Any, *args: Any, lock: Any = True) -> None:
        import ctypes

        codes = {
            "b": ctypes.c_byte, "B": ctypes.c_ubyte, "h": ctypes.c_short, "H": ctypes.c_ushort, "i": ctypes.c_int,
            "I": ctypes.c_uint, "l": ctypes.c_long, "L": ctypes.c_ulong, "q": ctypes.c_longlong,
            "Q": ctypes.c_ulonglong, "f": ctypes.c_float, "d": ctypes.c_double, "c": ctypes.c_char,
        }  # fmt: skip
        kind = codes.get(typecode_or_type, typecode_or_type)
        if not isinstance(kind, type) or not hasattr(kind(), "value"):
            raise TypeError(
                f"bad typecode {typecode_or_type!r}: a simple ctypes type or one of {', '.join(codes)}"
            )
        super().__init__(engine, kind(*args).value)
        self._lock = lock if lock not in (True, False, None) else RLock(engine)

    @property
    def value(self) -> Any:
        """The value."""
        return self._load()

    @value.setter
    def value(self, new: Any) -> None:
        self._store(new)

    def add(self, amount: Any) -> Any:
        """Add without a lock and return the sum."""
        return self._change(lambda value: (value + amount, value + amount))

    def get_lock(self) -> Any:
        """Return the lock that guards this value."""
        return self._lock


def _forward(name: str) -> Any:
    def method(self: _Remote, *args: Any, **kwargs: Any) -> Any:
        return self._method(name, args, kwargs)

    method.__name__ = name
    method.__doc__ = f"As the method ``{name}`` of the built-in type."
    return method


def _proxy(name: str, methods: tuple[str, ...], document: str) -> type[_Remote]:
    body: dict[str, Any] = {method: _forward(method) for method in methods}
    body["__doc__"] = document
    body["__module__"] = __name__
    body["__str__"] = lambda self: str(self._load())
    body["_getvalue"] = lambda self: self._load()
    return type(name, (_Remote,), body)


ListProxy = _proxy(
    "ListProxy",
    (
        "__add__", "__contains__", "__delitem__", "__getitem__", "__len__", "__mul__", "__setitem__", "append", "clear",
        "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort",
    ),
    "A list on the cluster.",
)  # fmt: skip
DictProxy = _proxy(
    "DictProxy",
    (
        "__contains__", "__delitem__", "__getitem__", "__len__", "__setitem__", "clear", "copy", "get", "items", "keys",
        "pop", "popitem", "setdefault", "update", "values",
    ),
    "A dictionary on the cluster.",
)  # fmt: skip


def _iterate(self: Any) -> Iterator[Any]:
    return iter(self._load())


ListProxy.__iter__ = _iterate  # type: ignore[attr-defined]
DictProxy.__iter__ = _iterate  # type: ignore[attr-defined]


class NamespaceProxy(_Remote):
    """A namespace on the cluster: its attributes are shared."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._load(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:

            def change(space: Any) -> tuple[Any, None]:
                setattr(space, name, value)
                return space, None

            self._change(change)

    def __delattr__(self, name: str) -> None:
        if name.startswith("_"):
            object.__delattr__(self, name)
        else:

            def change(space: Any) -> tuple[Any, None]:
                delattr(space, name)
                return space, None

            self._change(change)


class Manager:
    """Makes shared objects on the cluster."""

    def __init__(self, context: Any) -> None:
        self._context = context
        for name in ("Lock", "RLock", "Semaphore", "BoundedSemaphore", "Event", "Queue", "Value"):
            setattr(self, name, getattr(context, name))

    def __getattr__(self, name: str) -> Any:
        if name in ("Array", "Barrier", "Condition", "JoinableQueue", "Pool"):
            raise NotSupportedError(
                f"a cluster's manager has no {name}; it has list, dict, Namespace, Value, Queue, Lock, RLock, "
                "Semaphore, BoundedSemaphore and Event, and the context has Pool"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def list(self, *args: Any) -> Any:
        """Return a list shared by all tasks."""
        return ListProxy(self._context.engine, list(*args))

    def dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return a dictionary shared by all tasks."""
        return DictProxy(self._context.engine, dict(*args, **kwargs))

    def Namespace(self, **attributes: Any) -> NamespaceProxy:
        """Return a namespace shared by all tasks."""
        return NamespaceProxy(self._context.engine, SimpleNamespace(**attributes))

    def shutdown(self) -> None:
        """Nothing to end: shared objects live as long as somebody refers to them."""

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *unused: object) -> None:
        self.shutdown()
