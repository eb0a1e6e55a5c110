"""The command line of an interpreter that becomes a child."""

from __future__ import annotations

import os
import sys

from .._flags import interpreter_arguments
from .._methods import get_executable

_PACKAGES = ("procession_process", "procession_core", "procession_native")


def _package_directories() -> list[str]:
    """Return where a child finds this library when its own sys.path has not been set yet."""
    found: list[str] = []
    for name in _PACKAGES:
        directory = os.path.dirname(os.path.dirname(os.path.abspath(sys.modules[name].__file__ or "")))
        if directory not in found:
            found.append(directory)
    return found


def command_line(module: str, fds: list[int], unblock: bool) -> list[str]:
    """Return the command of an interpreter that runs ``main()`` of our *module*."""
    executable = get_executable()
    if not executable:
        raise ValueError(
            "the Python interpreter is not known (sys.executable is empty); name it with set_executable()"
        )
    if getattr(sys, "frozen", False):
        return [
            executable,
            "--multiprocessing-fork",
            f"module={module}",
            f"unblock={int(unblock)}",
            *map(str, fds),
        ]
    # sys.path[0] is "" for -c: a file in the current directory must not shadow what the start needs.
    code = (
        f"import sys;{'' if getattr(sys.flags, 'safe_path', False) else 'del sys.path[0];'}"
        f"sys.path+={_package_directories()!r};"
        f"from procession_process.{module} import main;main({fds!r},{unblock})"
    )
    return [executable, *interpreter_arguments(), "-c", code, "--multiprocessing-fork"]
