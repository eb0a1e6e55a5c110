"""Pickling by value, through cloudpickle where installed, of what has no importable name.

A lambda, a closure, or anything defined in a ``__main__`` that children cannot import (an interactive
session, a notebook, ``-c``). Everything else stays by reference.
"""

from __future__ import annotations

import sys
from types import FunctionType

from ._runtime import runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from collections.abc import Callable
    from typing import Any
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

_pickler_class: Any = None
_looked = False


def _find() -> Any:
    """Return the pickler class, or None where cloudpickle is not installed."""
    global _pickler_class, _looked
    if not _looked:
        _looked = True
        try:
            import cloudpickle
        except (ImportError, AttributeError):  # cloudpickle 3.1 looks for what PyPy 8's pickler has not
            return None
        _pickler_class = _make_class(cloudpickle.CloudPickler)
    return _pickler_class


def can_help(error: Exception | None = None) -> bool:
    """Say whether pickling by value is there and may mend *error*."""
    if error is not None and not _is_about_names(error):
        return False
    return _find() is not None


def _is_about_names(error: Exception) -> bool:
    # The wordings of CPython 3.11 to 3.15: "Can't pickle local object", "Can't get local object", "attribute
    # lookup ... failed", "it's not found as", "it's not the same object as", "cannot pickle 'code' object"
    # (cell, module).
    return isinstance(error, (AttributeError, TypeError)) or type(error).__name__ == "PicklingError"


def _make_class(base: Any) -> Any:
    from collections import ChainMap

    class ByValuePickler(base):  # type: ignore[misc]
        def __init__(self, file: Any, protocol: int | None, table: dict[type, Any], callback: Any) -> None:
            # First: the C pickler reads it while it is initialised, and never again.
            self.dispatch_table = ChainMap(table, base.dispatch_table)
            super().__init__(file, protocol, buffer_callback=callback)

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, (type, FunctionType)) and not runtime.main_by_value and _is_in_main(obj):
                return NotImplemented
            return super().reducer_override(obj)

    return ByValuePickler


def _is_in_main(obj: Any) -> bool:
    """Say whether *obj* can be had from ``__main__`` by its qualified name."""
    if getattr(obj, "__module__", None) != "__main__":
        return False
    found: Any = sys.modules.get("__main__")
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def strict_dump(obj: object, protocol: int | None, table: dict[type, Any]) -> list[bytes]:
    """Return the pieces of a pickle of *obj* for a child that cannot import ``__main__``, without cloudpickle.

    Raises PicklingError for what is defined there: by reference it would be missed only in the child.
    """

    class StrictPickler(_pickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, (type, FunctionType)) and _is_in_main(obj):
                raise _pickle.PicklingError(
                    f"Can't pickle {obj!r}: it is defined in a __main__ that the child cannot import (an interactive "
                    "session, -c, stdin or __main__.py); define it in a module, or install "
                    "procession-process[cloudpickle] to send it by value"
                )
            return NotImplemented

    pieces: list[bytes] = []
    pickler = StrictPickler(_Output(pieces.append), protocol)
    pickler.dispatch_table = table
    pickler.dump(obj)
    return pieces


class _Output:
    __slots__ = ("write",)

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


def by_value_dump(obj: object, protocol: int | None, table: dict[type, Any], callback: Any) -> list[bytes]:
    """Return the pieces of a pickle of *obj* in which what has no importable name is written out.

    Raises what pickling raises. ``can_help()`` must have said yes.
    """
    pieces: list[bytes] = []
    _pickler_class(_Output(pieces.append), protocol, table, callback).dump(obj)
    return pieces
