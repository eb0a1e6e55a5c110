"""Tracking in the arena: the last process of the tree to end removes what nobody has unlinked."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    raise ImportError("procession_shm._tracking_native needs POSIX")


from procession_core import arm_exit, at_end

from ._native import native as _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_core: Any = _native
_armed = False

# Every process that has this module asks at its end whether it is the last: the creator may be long gone.
at_end(_core.names_leave)
os.register_at_fork(before=arm_exit)


def track(name: str) -> None:
    """Let the tree remove the segment at its end. Raises MemoryError if the arena is full."""
    global _armed
    if not _armed:
        arm_exit()
        _armed = True
    _core.names_add(name)


untrack = _core.names_discard
tracked = _core.names_list
