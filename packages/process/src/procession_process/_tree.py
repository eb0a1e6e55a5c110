"""End a process and its descendants."""

from __future__ import annotations

import os
from time import sleep

from procession_core import deadline_after, remaining

_SIGKILL, _SIGTERM, _SIGCONT, _SIGSTOP = 9, 15, 18, 19
_POLL_SECONDS = 0.005


def children_of(pid: int) -> list[int]:
    """Return the children of *pid* as the kernel lists them; empty if it is gone or there is no such list."""
    found: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as listing:
                found.extend(int(word) for word in listing.read().split())
        except OSError:
            pass
    return found


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _stop_tree(pid: int, found: list[int]) -> None:
    # Stopped first, listed then: a stopped process has no more children.
    if _signal(pid, _SIGSTOP):
        found.append(pid)
        for child in children_of(pid):
            _stop_tree(child, found)


def _start_time(pid: int) -> str | None:
    """Return the start time of a process that is alive, None if it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def terminate_tree(pid: int, timeout: float | None) -> None:
    """Send SIGTERM to *pid* and its descendants, and SIGKILL to what is left after *timeout* seconds.

    Blocks until all of them are gone. Those that SIGTERM does not end are waited for; None means without
    SIGKILL.
    """
    found: list[int] = []
    _stop_tree(pid, found)
    started = {member: _start_time(member) for member in found}
    for member in found:
        _signal(member, _SIGTERM)
        _signal(member, _SIGCONT)
    deadline = deadline_after(timeout)
    while True:
        left = [member for member in found if started[member] and _start_time(member) == started[member]]
        if not left:
            return
        if remaining(deadline) == 0:
            deadline = None
            for member in left:
                _signal(member, _SIGKILL)
        sleep(_POLL_SECONDS)
