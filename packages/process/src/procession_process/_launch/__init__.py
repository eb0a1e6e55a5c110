"""Launchers, one for each start method.

A launcher module has a class ``Popen(process)``; making one starts the child. It offers ``pid``,
``sentinel``, ``returncode``, ``poll()``, ``wait(timeout)``, ``terminate()``, ``kill()``, ``interrupt()``,
``terminate_tree()``, ``death()`` and ``close()``. Modules are imported at the first use of their method: a
child that starts none needs none.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

if sys.platform == "win32":
    MODULES = {"spawn": "._windows"}
else:
    MODULES = {"fork": "._fork", "forkserver": "._forkserver", "spawn": "._spawn"}
_loaded: dict[str, Any] = {}
loading = allocate_lock()
"""Held while a launcher is loaded, and around a fork beside threads: in the child nobody would end what another thread
has begun, and the interpreter's lock of that module would be held for ever."""


def launch(process: Any, method: str) -> Any:
    """Start *process* by *method* and return the launcher's object.

    Raises ValueError for an unknown method, and what the launcher raises.
    """
    popen = _loaded.get(method)
    if popen is None:
        if method not in MODULES:
            raise ValueError(f"cannot find context for {method!r}; allowed are {', '.join(sorted(MODULES))}")
        if method == "forkserver":
            _load("._boot", "begin")()
        popen = _loaded[method] = _load(MODULES[method], "Popen")
    return popen(process)


def _load(module: str, name: str) -> Any:
    with loading:
        return getattr(__import__(__name__ + module, fromlist=(name,)), name)
