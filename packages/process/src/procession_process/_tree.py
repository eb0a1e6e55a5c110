"""End a process and its descendants."""

from __future__ import annotations

import os
from time import sleep

from procession_core import deadline_after, remaining

from ._native import core

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


class _Made:
    """Children by the registry: who asked for a process is its parent there, also if a fork server forked it."""

    def __init__(self) -> None:
        self._slots: set[tuple[int, int]] = set()

    def by(self, found: list[int]) -> list[int]:
        """Return those that were made by *found*, or by what was *found* before, and are not in it."""
        if core is None or not core.attached():
            return []
        entries = core.processes()
        # A slot is told from its next owner by the generation: nobody is ended for what another asked for.
        self._slots.update((entry["slot"], entry["generation"]) for entry in entries if entry["pid"] in found)
        known = {0, os.getpid(), *found}
        return [
            entry["pid"]
            for entry in entries
            if entry["pid"] not in known
            and entry["alive"]
            and (entry["parent"], entry["parent_generation"]) in self._slots
        ]


def _stop_all(made: _Made, found: list[int]) -> None:
    while new := made.by(found):
        for pid in new:
            if pid not in found:
                before = len(found)
                _stop_tree(pid, found)
                if len(found) == before:
                    found.append(pid)  # gone meanwhile


def terminate_tree(pid: int, timeout: float | None) -> None:
    """Send SIGTERM to *pid* and its descendants, and SIGKILL to what is left after *timeout* seconds.

    Blocks until all of them are gone. Those that SIGTERM does not end are waited for; None means without
    SIGKILL.
    """
    found: list[int] = []
    made = _Made()
    _stop_tree(pid, found)
    deadline = deadline_after(timeout)
    started: dict[int, str | None] = {}
    killing = False
    while True:
        # Again and again: a fork server may just carry out what a member asked for before it was stopped.
        _stop_all(made, found)
        for member in found[len(started) :]:
            started[member] = _start_time(member)
            _signal(member, _SIGKILL if killing else _SIGTERM)
            _signal(member, _SIGCONT)
        left = [member for member in found if started[member] and _start_time(member) == started[member]]
        if not left:
            return
        if not killing and remaining(deadline) == 0:
            killing = True
            for member in left:
                _signal(member, _SIGKILL)
        sleep(_POLL_SECONDS)
