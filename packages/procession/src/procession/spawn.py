"""How children in fresh interpreters are prepared (``multiprocessing.spawn``).

The launch itself is procession_process's. What is here is for programs that wrap ``get_preparation_data()`` to send
something of their own along: keys that they add are sent to every child that is not a fork, and unpickled there
before its ``__main__`` is imported.
"""

from __future__ import annotations

import os
import sys

from procession_core import default_reducer, runtime
from procession_process import freeze_support, get_executable, register_extra, set_executable
from procession_process._freeze import is_forking
from procession_process._main import import_main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WINEXE = sys.platform == "win32" and getattr(sys, "frozen", False)
WINSERVICE = bool(sys.executable and sys.executable.lower().endswith("pythonservice.exe"))

__all__ = (
    "WINEXE",
    "WINSERVICE",
    "freeze_support",
    "get_executable",
    "get_preparation_data",
    "import_main_path",
    "is_forking",
    "prepare",
    "set_executable",
)


def get_preparation_data(name: str) -> dict[str, Any]:
    """Return what a child named *name* is told, as far as programs read it."""
    return {
        "name": name,
        "authkey": runtime.authkey,
        "sys_path": list(sys.path),
        "sys_argv": list(sys.argv),
        "orig_dir": runtime.original_dir,
        "dir": os.getcwd(),
    }


_plain = get_preparation_data
_KEYS = ("name", "authkey", "sys_path", "sys_argv", "orig_dir", "dir")


def prepare(data: dict[str, Any]) -> None:
    """Carry out in this process what *data* says of the name, the key and where it looks and stands."""
    if "name" in data and runtime.current is not None:
        runtime.current.name = data["name"]
    if "authkey" in data and runtime.current is not None:
        runtime.current.authkey = data["authkey"]
    if "sys_path" in data:
        sys.path[:] = data["sys_path"]
    if "sys_argv" in data:
        sys.argv[:] = data["sys_argv"]
    if "dir" in data:
        os.chdir(data["dir"])
    if "orig_dir" in data:
        runtime.original_dir = data["orig_dir"]


def import_main_path(main_path: str) -> None:
    """Make the script *main_path* this process's ``__main__``, under the name ``__mp_main__``."""
    import_main(("path", main_path))


def _stowaways() -> bytes | None:
    """Return the pickle of what a replaced ``get_preparation_data()`` adds; None if it was not replaced."""
    current = globals()["get_preparation_data"]
    if current is _plain:
        return None
    data = current("child")
    added = {key: value for key, value in data.items() if key not in _KEYS}
    return default_reducer.dumps(added) if added else None


def _take_aboard(pickled: bytes | None) -> None:
    if pickled is not None:
        default_reducer.loads(pickled)


register_extra("multiprocessing.spawn", f"{__name__}:_take_aboard", _stowaways)
