"""What the programs of this folder have in common, which kill processes and look at what is left."""

from __future__ import annotations

import gc
import os
from typing import Any

from procession_native import core

STRIDE = int(os.environ.get("FAULT_STRIDE", "1"))
"""A sample of the steps is every third one."""


def require(truth: Any, what: str) -> None:
    if not truth:
        raise AssertionError(what)


def reap(pid: int) -> int:
    """Wait for a child and tell the registry; its exit code, negative for a signal."""
    _, status = os.waitpid(pid, 0)
    core.note_exit(pid, status)
    return os.waitstatus_to_exitcode(status)


def used() -> int:
    """Bytes in use, once what nobody refers to and what dead processes held has been given back."""
    gc.collect()
    core.sweep()
    return int(core.memory()["used"])
