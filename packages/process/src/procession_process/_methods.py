"""Start methods, and which one is the default."""

from __future__ import annotations

import os
import sys

from procession_core import runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike


def have_pidfd() -> bool:
    """Say whether the kernel has descriptors for processes (Linux 5.3; some sandboxes refuse them)."""
    global _pidfd
    if _pidfd is None:
        _pidfd = False
        if hasattr(os, "pidfd_open"):
            try:
                os.close(os.pidfd_open(os.getpid()))
                _pidfd = True
            except OSError:
                pass
    return _pidfd


_pidfd: bool | None = None


def get_all_start_methods() -> list[str]:
    """Return the start methods of this platform, the default one first."""
    if sys.platform == "win32":
        return ["spawn"]
    methods = ["fork", "spawn"]
    if have_pidfd():
        methods.append("forkserver")
    default = _platform_default()
    methods.remove(default)
    return [default, *methods]


def _platform_default() -> str:
    if sys.platform in ("win32", "darwin"):
        return "spawn"
    if sys.version_info >= (3, 14) and have_pidfd():
        return "forkserver"
    return "fork"


def default_method() -> str:
    """Return the start method that ``Process`` uses now, without fixing it."""
    return runtime.default_method or _platform_default()


def get_start_method(allow_none: bool = False) -> str | None:
    """Return the start method, fixing the platform's default unless *allow_none*; then None if none was
    chosen.
    """
    if runtime.default_method is None:
        if allow_none:
            return None
        runtime.default_method = _platform_default()
    return runtime.default_method


def set_start_method(method: str | None, force: bool = False) -> None:
    """Choose how ``Process`` starts children; once, unless *force*. None with *force* undoes the choice.

    Raises RuntimeError if one was chosen before, ValueError for an unknown method.
    """
    if runtime.default_method is not None and not force:
        raise RuntimeError(
            f"context has already been set; the start method is {runtime.default_method!r}, pass force=True to change "
            "it"
        )
    if method is None and force:
        runtime.default_method = None
        return
    if method not in get_all_start_methods():
        raise ValueError(
            f"cannot find context for {method!r}; allowed are {', '.join(get_all_start_methods())}"
        )
    runtime.default_method = method


# ---- the interpreter of children ---------------------------------------------------------------------------

_executable: str | None = None
_executable_is_set = False


def set_executable(executable: str | bytes | PathLike[str] | PathLike[bytes] | None) -> None:
    """Set the interpreter that spawn and forkserver start."""
    global _executable, _executable_is_set
    _executable = None if executable is None else os.fsdecode(executable)
    _executable_is_set = True


def get_executable() -> str | None:
    """Return the interpreter that spawn and forkserver start: ``sys.executable`` unless set."""
    return _executable if _executable_is_set else sys.executable


def cpu_count() -> int:
    """Return the number of CPUs: of the machine up to Python 3.12, of this process from 3.13 on.

    Raises NotImplementedError where it cannot be determined.
    """
    counter = getattr(os, "process_cpu_count", os.cpu_count)
    number: int | None = counter()
    if number is None:
        raise NotImplementedError(
            "cannot determine number of cpus: the system does not tell; give the number of processes yourself, "
            "as in Pool(4)"
        )
    return number
