"""Daemonic children die with their parent, also if it was killed.

The parent holds the only write end of one *life pipe*; every daemonic child has the read end. When the parent
is gone, however it went, the kernel closes the write end. The child has asked for a signal at that moment
(F_SETSIG), so the watch costs no thread and no call; the signal is SIGKILL, because a parent that could still
ask nicely has done so at its exit. F_SETOWN belongs to the open file, not to the descriptor, therefore each
child opens the pipe anew through /proc. PR_SET_PDEATHSIG is not used: it fires when the *thread* that forked
ends, and the parent of a forkserver's child is the zygote. Where F_SETSIG or /proc is missing, a thread polls
the read end.
"""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    raise ImportError("procession_process._life needs POSIX")


from procession_core import reset_after_fork

from ._native import core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_die_when_closed: Callable[[int], int] | None = None if core is None else core.die_when_closed
_ends: tuple[int, int] | None = None
_inherited = -1
_armed = False
_armed_fd = -1


def read_end() -> int:
    """Return the read end of this process's life pipe, made on first use. It stays open as long as the
    process.
    """
    global _ends, _inherited
    if _ends is None:
        if _inherited >= 0:
            os.close(_inherited)
            _inherited = -1
        _ends = os.pipe()
        _arm_reset()
        if _die_when_closed is None:
            try:
                # Here, once, and not in each child that is forked: loading it takes half a millisecond.
                import fcntl  # noqa: F401
            except ImportError:
                pass
    return _ends[0]


def ends() -> tuple[int, int]:
    """Return both ends of this process's life pipe, -1 and -1 if there is none."""
    return _ends or (-1, -1)


def take_inherited() -> int:
    """In a forked child: return the read end of the parent's life pipe, now this process's own, or -1."""
    global _inherited
    fd, _inherited = _inherited, -1
    return fd


def is_used() -> bool:
    """Say whether a child forked now inherits an end of a life pipe."""
    return _ends is not None or _inherited >= 0


def _arm_reset() -> None:
    global _armed
    if not _armed:
        _armed = True
        reset_after_fork(_reset)


def _reset() -> None:
    # A copy of the write end in a child would keep its siblings from noticing the parent's death.
    global _ends, _inherited, _armed_fd
    if _ends is not None:
        if _inherited >= 0:
            os.close(_inherited)
        _inherited = _ends[0]
        os.close(_ends[1])
        _ends = None
    if _armed_fd >= 0:
        os.close(_armed_fd)
        _armed_fd = -1


def die_with_parent(fd: int) -> None:
    """Let the kernel kill this process when the last write end of the pipe that *fd* reads is closed. Takes
    *fd*.
    """
    global _armed_fd
    if not _armed:
        _arm_reset()
    try:
        # The core does it with three pages copied, Python with forty.
        _armed_fd = (_die_when_closed or _watch)(fd)
    except (ImportError, AttributeError, OSError):
        _watch_in_thread(fd)
    else:
        os.close(fd)


def _watch(fd: int) -> int:
    import fcntl

    set_signal: Any = getattr(fcntl, "F_SETSIG")  # noqa: B009 - Linux alone has it
    own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(own, set_signal, 9)
        fcntl.fcntl(own, fcntl.F_SETFL, os.O_NONBLOCK | fcntl.FASYNC)
    except BaseException:
        os.close(own)
        raise
    try:
        gone = os.read(own, 1) == b""
    except BlockingIOError:
        gone = False
    if gone:  # before the watch was armed
        os.kill(os.getpid(), 9)
    return own


def _watch_in_thread(fd: int) -> None:
    from _thread import start_new_thread
    from select import POLLIN, poll

    def watch() -> None:
        poller = poll()
        poller.register(fd, POLLIN)
        poller.poll()
        os.kill(os.getpid(), 9)

    start_new_thread(watch, ())
