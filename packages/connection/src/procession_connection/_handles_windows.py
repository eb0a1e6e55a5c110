"""Handles to other processes: Windows makes a duplicate straight into them."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("procession_connection._handles_windows needs Windows")

import _winapi
import os


def duplicate(handle: int, pid: int | None = None) -> int:
    """Return a duplicate of *handle* in the process *pid* (None for this one), as a number that counts there.

    Raises OSError if *handle* is not open, or this user may not give handles to that process.
    """
    own = _winapi.GetCurrentProcess()
    if pid is None or pid == os.getpid():
        return int(_winapi.DuplicateHandle(own, handle, own, 0, False, _winapi.DUPLICATE_SAME_ACCESS))
    target = _winapi.OpenProcess(_winapi.PROCESS_DUP_HANDLE, False, pid)
    try:
        return int(_winapi.DuplicateHandle(own, handle, target, 0, False, _winapi.DUPLICATE_SAME_ACCESS))
    finally:
        _winapi.CloseHandle(target)
