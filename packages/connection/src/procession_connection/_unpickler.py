"""Restricted unpickling: only what was named may be loaded."""

from __future__ import annotations

from io import BytesIO

from ._names import wire_reducer

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


def allow(*names: str) -> Callable[..., Any]:
    """Return an unpickler that loads numbers, strings, bytes, containers, None and the *names*.

    A name is ``"module.Class"`` or ``"module.function"``, or ``"module.*"`` for all of a module. Name only
    what is harmless when it is called with any arguments: an allowed function is one that the sender may
    call. The result goes into ``Listener(..., unpickler=...)`` or ``Client(..., unpickler=...)``.

    Raises ValueError for a name without a module. Loading anything else raises ``pickle.UnpicklingError``.
    """
    allowed = frozenset(names)
    for name in allowed:
        if "." not in name:
            raise ValueError(f"{name!r} names no module; write 'module.Class' or 'builtins.{name}'")

    class RestrictedUnpickler(_pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            # A dotted name walks attributes: os.path of an allowed module would come along with "module.*".
            if f"{module}.{name}" in allowed or ("." not in name and f"{module}.*" in allowed):
                return wire_reducer.find_class(module, name)
            raise _pickle.UnpicklingError(
                f"{module}.{name} is not allowed on this connection; allowed are {sorted(allowed)}"
            )

    def loads(data: Any, buffers: Any = None) -> Any:
        return RestrictedUnpickler(BytesIO(data), buffers=buffers).load()

    return loads
