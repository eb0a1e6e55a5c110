"""Restricted unpickling: only what was named may be loaded."""

from __future__ import annotations

from io import BytesIO

from ._names import wire_reducer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from typing import Any
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle


class Allowed:
    """What ``allow()`` returns: loads pickles that name nothing but what is allowed."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = frozenset(names)

    def __reduce__(self) -> tuple[Any, ...]:
        return Allowed, (tuple(sorted(self.names)),)

    def __repr__(self) -> str:
        return f"allow({', '.join(map(repr, sorted(self.names)))})"

    def __call__(self, data: Any, buffers: Any = None) -> Any:
        """Return the object that *data* describes. Raises ``pickle.UnpicklingError`` for what is not allowed."""
        return _RestrictedUnpickler(self.names, data, buffers).load()


class _RestrictedUnpickler(_pickle.Unpickler):
    def __init__(self, names: frozenset[str], data: Any, buffers: Any) -> None:
        super().__init__(BytesIO(data), buffers=buffers)
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        # A dotted name walks attributes: the modules that an allowed module imports would come along.
        if f"{module}.{name}" in self._names or ("." not in name and f"{module}.*" in self._names):
            return wire_reducer.find_class(module, name)
        raise _pickle.UnpicklingError(
            f"{module}.{name} is not allowed on this connection; allowed are {sorted(self._names)}"
        )


def allow(*names: str) -> Allowed:
    """Return an unpickler that loads numbers, strings, bytes, containers, None and the *names*.

    A name is ``"module.Class"`` or ``"module.function"``, or ``"module.*"`` for all of a module. Name only
    what is harmless when it is called with any arguments: an allowed function is one that the sender may
    call. The result goes into ``Listener(..., unpickler=...)`` or ``Client(..., unpickler=...)``.

    Raises TypeError for what is no string, ValueError for a name without a module. Loading anything else raises
    ``pickle.UnpicklingError``.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a name must be a string such as 'module.Class', not {name!r}")
        if "." not in name:
            raise ValueError(f"{name!r} names no module; write 'module.Class' or 'builtins.{name}'")
    return Allowed(names)
