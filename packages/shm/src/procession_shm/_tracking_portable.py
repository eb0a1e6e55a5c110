"""Tracking without the C core: each process removes at its end what it has tracked and nobody unlinked.

The limit of it: the end of one process removes a segment that others of the tree may still want to attach to
(those that have it mapped keep it), and a process that is killed removes nothing.
"""

from __future__ import annotations

import os

from procession_core import at_exit

from ._segment import remove_segment

# After everything else: users' finalizers may still create and remove segments.
_PRIORITY = -1000
_names: dict[str, int] = {}
_armed_pid = 0


def track(name: str) -> None:
    """Let this process remove the segment at its end."""
    global _armed_pid
    pid = os.getpid()
    if _armed_pid != pid:
        at_exit(_leave, _PRIORITY)
        _armed_pid = pid
    _names[name] = pid


def untrack(name: str) -> None:
    """The segment needs no removal any more."""
    _names.pop(name, None)


def tracked() -> list[str]:
    """Return the names that the end of this process would remove."""
    pid = os.getpid()
    return [name for name, owner in _names.items() if owner == pid]


def _leave() -> None:
    global _armed_pid
    _armed_pid = 0
    for name in tracked():
        del _names[name]
        try:
            remove_segment(name)
        except OSError:  # gone already, which is what was wanted
            pass
