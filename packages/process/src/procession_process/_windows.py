"""What processes are made of on Windows: handles, and waiting for them.

Siblings of the POSIX code import this where ``sys.platform`` says so. A handle that a child is to have is duplicated
as inheritable and named in the list of those that it inherits, so it has the same number there.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("procession_process._windows needs Windows")

import _winapi
from time import monotonic

_WAIT_TIMEOUT = 258
_MOST_HANDLES = 60
_TURN = 0.05
_SYNCHRONIZE = 0x100000
_LONGEST = 1 << 30


def duplicate(handle: int) -> int:
    """Return an inheritable duplicate of *handle*. Raises OSError."""
    process = _winapi.GetCurrentProcess()
    return int(_winapi.DuplicateHandle(process, handle, process, 0, True, _winapi.DUPLICATE_SAME_ACCESS))


def close(handle: int) -> None:
    """Close *handle*. Raises OSError if it is not open."""
    _winapi.CloseHandle(handle)


def own_process() -> int:
    """Return a pseudo handle of this process, good for ``duplicate()``."""
    return int(_winapi.GetCurrentProcess())


def open_process(pid: int) -> int:
    """Return a handle that is signalled at the end of process *pid*. Raises OSError if there is none."""
    return int(_winapi.OpenProcess(_SYNCHRONIZE, False, pid))


def wait_handles(handles: tuple[int, ...], timeout: float | None) -> list[int]:
    """Block until one of *handles* is signalled, at most *timeout* seconds; return those that are."""
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        ready = [handle for handle in handles if _winapi.WaitForSingleObject(handle, 0) != _WAIT_TIMEOUT]
        left = None if deadline is None else deadline - monotonic()
        if ready or (left is not None and left <= 0):
            return ready
        if len(handles) > _MOST_HANDLES:
            left = _TURN if left is None else min(left, _TURN)
        milliseconds = _winapi.INFINITE if left is None else min(int(left * 1000) + 1, _LONGEST)
        _winapi.WaitForMultipleObjects(list(handles[:_MOST_HANDLES]), False, milliseconds)


def end_with(handle: int) -> None:
    """Let a thread end this process when *handle* is signalled: that of a daemonic process's parent."""
    from _thread import start_new_thread

    def watch() -> None:
        _winapi.WaitForSingleObject(handle, _winapi.INFINITE)
        _winapi.TerminateProcess(_winapi.GetCurrentProcess(), 1)

    start_new_thread(watch, ())


def read_all(handle: int) -> bytes:
    """Read *handle*, the read end of a pipe, to its end, and close it."""
    parts = []
    try:
        while True:
            parts.append(bytes(_winapi.ReadFile(handle, 1 << 20)[0]))
    except BrokenPipeError:
        pass
    finally:
        _winapi.CloseHandle(handle)
    return b"".join(parts)
