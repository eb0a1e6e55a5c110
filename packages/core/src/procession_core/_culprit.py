"""Say which part of an object could not be pickled. Runs only after a failure."""

from __future__ import annotations

from types import FunctionType, MethodType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from collections.abc import Iterator
    from typing import Any
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

_MAX_TRIES = 500


class _Nowhere:
    @staticmethod
    def write(data: bytes) -> None:
        pass


class _Search:
    def __init__(self, table: dict[type, Any]) -> None:
        self.table = table
        self.tries = 0

    def fails(self, obj: object) -> Exception | None:
        self.tries += 1
        pickler = _pickle.Pickler(_Nowhere())
        pickler.dispatch_table = self.table
        try:
            pickler.dump(obj)
        except Exception as error:
            return error
        return None

    def descend(self, obj: object, path: str, error: Exception) -> tuple[str, object, Exception]:
        seen = {id(obj)}
        while True:
            for step, part in self.parts(obj):
                if self.tries >= _MAX_TRIES:
                    return path, obj, error
                if id(part) in seen:
                    continue
                found = self.fails(part)
                if found is not None:
                    seen.add(id(part))
                    path, obj, error = path + step, part, found
                    break
            else:
                return path, obj, error

    def parts(self, obj: Any) -> Iterator[tuple[str, object]]:
        kind = type(obj)
        if kind is dict:
            for key, value in obj.items():
                yield f"[{_short(key)}]", value
            for key in obj:
                yield f".key({_short(key)})", key
        elif kind in (list, tuple):
            for index, value in enumerate(obj):
                yield f"[{index}]", value
        elif kind in (set, frozenset):
            for value in obj:
                yield ".item", value
        elif kind is MethodType:
            yield ".__self__", obj.__self__
        elif not isinstance(obj, (type, FunctionType)) and kind not in self.table and _is_plain(kind):
            state = getattr(obj, "__dict__", None)
            if isinstance(state, dict):
                for name, value in state.items():
                    yield f".{name}", value


def _is_plain(kind: type) -> bool:
    """Say whether objects of *kind* are pickled the default way, by their attributes."""
    plain: Any = object
    return bool(kind.__reduce_ex__ is plain.__reduce_ex__ and kind.__reduce__ is plain.__reduce__)


def _short(key: object) -> str:
    text = repr(key)
    return text if len(text) <= 40 else text[:37] + "..."


def explain(error: Exception, obj: object, table: dict[type, Any]) -> None:
    """Add a note to *error* that names the part of *obj* that cannot be pickled, and how to go on."""
    try:
        search = _Search(table)
        if search.fails(obj) is None:
            return  # refused by a stricter rule than pickle's, whose message says what is to blame
        path, culprit, cause = search.descend(obj, "obj", error)
        error.add_note(
            f"{path}: {cause}" if path != "obj" else f"obj is {_short(culprit)} of {type(culprit)!r}"
        )
        if isinstance(culprit, (FunctionType, type)):
            error.add_note(
                "what has no importable name (a lambda, a closure, a class made in a function or in an "
                "interactive session) needs pickling by value: install procession-process[cloudpickle], "
                "or define it at the top level of a module"
            )
    except Exception:  # the note is a courtesy: objects that fail in repr() or attribute access lose it
        pass
