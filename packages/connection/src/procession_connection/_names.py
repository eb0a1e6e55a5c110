"""The names that stand in pickles between Listener and Client: CPython's, mapped to ours on reading.

Class names are part of the format: the other side may be CPython's package, which knows a ``Token`` only as
``multiprocessing.managers.Token``. The real package is never imported for that.
"""

from __future__ import annotations

import sys
from io import BytesIO

from procession_core import (
    AuthenticationError,
    AuthenticationString,
    BufferTooShort,
    ProcessError,
    Reducer,
    TimeoutError,  # noqa: A004 - the documented name
    current_transfer,
    default_reducer,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from typing import Any
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

OURS = b"procession_"
"""What every name of ours has in it; a pickle without it needs no mapping."""
THEIRS = b"multiprocessing"
"""The same for CPython's."""


class WireReducer(Reducer):
    """Pickles with CPython's class names and reads them back as ours.

    Objects without such names cost nothing more than with the ordinary reducer.
    """

    def __init__(self) -> None:
        super().__init__()
        # One table of reducers for the whole library: what programs register counts here too.
        self.own = default_reducer.own
        self._written: dict[Any, tuple[str, str]] = {}
        self._read: dict[tuple[str, str], Any] = {}

    def map(self, obj: Any, module: str, name: str) -> None:
        """Write the class or function *obj* as *module*.*name*, and read that name as *obj*.

        Several names may be read as one object; the first is the one that is written.
        """
        self._written.setdefault(obj, (module, name))
        self._read[module, name] = obj

    def written_name(self, obj: Any) -> tuple[str, str] | None:
        """Return the module and name under which *obj* is written, or None for its own."""
        try:
            return self._written.get(obj)
        except TypeError:  # not hashable
            return None

    def dumps(self, obj: object, protocol: int | None = None) -> bytes:
        """Return the pickle of *obj* under CPython's names. Raises what pickling raises."""
        data = super().dumps(obj, protocol)
        if OURS not in data:
            return data
        # One of our names may stand in it. The C pickler cannot write another name than the object's own;
        # the Python one can, and such messages (proxies, tokens) are rare.
        transfer = current_transfer()
        clear = getattr(transfer, "clear", None)
        if clear is not None:
            clear()
        return _dump_mapped(self, obj, protocol)

    def find_class(self, module: str, name: str) -> Any:
        """Return what *module*.*name* means here.

        Raises UnpicklingError for a name of CPython's package that has no counterpart, unless that package
        is loaded.
        """
        found = self._read.get((module, name))
        if found is not None:
            return found
        if module.partition(".")[0] == "multiprocessing" and module not in sys.modules:
            raise _pickle.UnpicklingError(
                f"{module}.{name} has no counterpart in this library; "
                "import multiprocessing first if the real class is wanted"
            )
        return _default_find(module, name)

    def loads(self, data: Any, buffers: Any = None) -> Any:
        """Return the object that *data* describes. Raises what unpickling raises."""
        if THEIRS not in (data if type(data) is bytes else bytes(data)):
            return _pickle.loads(data, buffers=buffers)
        return _WireUnpickler(BytesIO(data), buffers=buffers).load()


wire_reducer = WireReducer()
"""The reducer of all connections between Listener and Client. Higher layers map their classes here."""


class _WireUnpickler(_pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return wire_reducer.find_class(module, name)


_finder = _pickle.Unpickler(BytesIO(b""))


def _default_find(module: str, name: str) -> Any:
    return _finder.find_class(module, name)


def _dump_mapped(reducer: WireReducer, obj: object, protocol: int | None) -> bytes:
    import pickle
    from types import FunctionType

    base: Any = pickle._Pickler

    class MappedPickler(base):  # type: ignore[misc]
        dispatch = dict(base.dispatch)

        def save_global(self, obj: Any, name: str | None = None) -> None:
            names = reducer.written_name(obj)
            if names is None:
                base.save_global(self, obj, name)
            elif self.proto >= 4:
                self.save(names[0])
                self.save(names[1])
                self.write(pickle.STACK_GLOBAL)
                self.memoize(obj)
            else:
                self.write(pickle.GLOBAL + names[0].encode() + b"\n" + names[1].encode() + b"\n")
                self.memoize(obj)

        dispatch[FunctionType] = save_global

    output = BytesIO()
    pickler = MappedPickler(output, protocol)
    pickler.dispatch_table = reducer.table()
    pickler.dump(obj)
    return output.getvalue()


for _class, _module in (
    (ProcessError, "context"),
    (BufferTooShort, "context"),
    (TimeoutError, "context"),
    (AuthenticationError, "context"),
    (AuthenticationString, "process"),
):
    wire_reducer.map(_class, f"multiprocessing.{_module}", _class.__name__)
