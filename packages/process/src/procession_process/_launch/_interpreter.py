"""Start a fresh interpreter that runs one of our modules.

By ``os.posix_spawn()``, which does not copy the parent's page tables (glibc and musl use vfork)
and is public; ``_posixsubprocess`` does the same behind a signature that changes with every Python release.
What posix_spawn lacks is closing the descriptors that are not wanted: Python's own are closed by the exec
(PEP 446), strays that other libraries left inheritable are closed by file actions, one for each.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    raise ImportError("procession_process._launch._interpreter needs POSIX")

from .._native import arena_fds
from ._command import command_line

try:
    from _signal import SIG_BLOCK, pthread_sigmask  # type: ignore[import-not-found]
except ImportError:
    pthread_sigmask = None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIGINT = 2


def _inheritable_strays(wanted: list[int]) -> list[int]:
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return []
    strays = []
    most = os.sysconf("SC_OPEN_MAX")  # a number above a limit that was lowered cannot be named here
    for name in names:
        fd = int(name)
        try:
            if 2 < fd < most and fd not in wanted and os.get_inheritable(fd):
                strays.append(fd)
        except OSError:  # the listing's own descriptor
            pass
    return strays


def spawn_interpreter(module: str, fds: list[int], hidden: tuple[int, ...] = ()) -> int:
    """Start an interpreter that runs ``main(fds, ...)`` of our *module* and inherits *fds*; return its pid.

    *hidden* descriptors are inherited too, without being told to the child.

    Raises OSError, ValueError where the interpreter is not known.
    """
    if min((*fds, *hidden), default=3) < 3:
        return _spawn_above_stdio(module, fds, hidden)
    keep = [*fds, *hidden, *arena_fds()]
    if not hasattr(os, "posix_spawn"):
        return _spawn_by_subprocess(command_line(module, fds, False), keep)
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    # A descriptor duplicated onto itself loses its close-on-exec flag.
    actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in keep]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable_strays(keep)]
    unblock = False
    options: dict[str, Any] = {}
    if pthread_sigmask is not None:
        # Ctrl-C during the interpreter's own start would print a traceback of its site module.
        mask = pthread_sigmask(SIG_BLOCK, [])
        unblock = _SIGINT not in mask
        options["setsigmask"] = {*mask, _SIGINT}
    command = command_line(module, fds, unblock)
    start = os.posix_spawn if os.path.dirname(command[0]) else os.posix_spawnp
    return start(command[0], command, os.environ, file_actions=actions, **options)


def _spawn_by_subprocess(command: list[str], keep: list[int]) -> int:
    # PyPy has no posix_spawn.
    from subprocess import DEVNULL, Popen

    begun = Popen(command, stdin=DEVNULL, pass_fds=keep, restore_signals=False)
    begun.returncode = 0  # or its destructor would wait for the child, or warn
    return begun.pid


def _spawn_above_stdio(module: str, fds: list[int], hidden: tuple[int, ...]) -> int:
    # This process runs without a standard stream, whose number something got that the child would take for it.
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    moved = {fd: fcntl(fd, F_DUPFD_CLOEXEC, 3) for fd in {*fds, *hidden} if fd < 3}
    try:
        return spawn_interpreter(
            module, [moved.get(fd, fd) for fd in fds], tuple(moved.get(fd, fd) for fd in hidden)
        )
    finally:
        for fd in moved.values():
            os.close(fd)
