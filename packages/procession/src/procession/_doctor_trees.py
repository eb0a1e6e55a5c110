"""``procession top``: the process trees on this machine that share an arena, as /proc shows them.

The arena has no name, but every process of a tree keeps it open: the same inode is the same tree. Only processes of
this user are seen, without privileges.
"""

from __future__ import annotations

import argparse
import json
import os

from procession_native import core

from ._doctor_limits import human, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

__all__ = ("show_trees", "trees")

_ARENA = "/memfd:procession"


def _arenas(pid: str) -> Iterator[tuple[int, int, str]]:
    """Yield inode, used bytes and path of each procession memory file that process *pid* has open."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        path = f"/proc/{pid}/fd/{name}"
        try:
            if os.readlink(path).startswith(_ARENA):
                status = os.stat(path)
                yield status.st_ino, status.st_blocks * 512, path
        except OSError:
            continue


def _lock_owner(path: str) -> int | None:
    """Return who is changing the arena now: it is so for microseconds, unless that process is stopped."""
    if core is None:
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        owner = core.lock_owner(fd)
        return None if owner is None else int(owner)
    except ValueError:  # of another version
        return None
    finally:
        os.close(fd)


def _process(pid: str) -> dict[str, Any]:
    fields = (read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in (read(f"/proc/{pid}/status") or "").splitlines() if ":" in line)
    ticks = os.sysconf("SC_CLK_TCK")
    private = int(status.get("RssAnon", "0").split()[0]) * 1024
    command = (read(f"/proc/{pid}/cmdline") or "").replace("\0", " ").strip()
    return {
        "pid": int(pid),
        "parent": int(fields[1]) if fields else None,
        "state": fields[0] if fields else "gone",
        "cpu_seconds": (int(fields[11]) + int(fields[12])) / ticks if fields else 0.0,
        "private_bytes": private,
        "threads": int(status.get("Threads", "0")),
        "command": command,
    }


def trees() -> list[dict[str, Any]]:
    """Return each tree: ``bytes`` of shared memory in use, its ``processes``, and ``lock_owner``, the pid of the one
    that is changing the arena at this moment, or None. Linux; elsewhere empty."""
    found: dict[int, dict[str, Any]] = {}
    try:
        pids = sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int)
    except OSError:
        return []
    for pid in pids:
        held = list(_arenas(pid))
        if not held:
            continue
        # The arena and the file of witnesses, which was made right after it and stays small.
        inode, _, path = min(held)
        if inode not in found:
            found[inode] = {"arena": inode, "bytes": 0, "processes": [], "lock_owner": _lock_owner(path)}
        tree = found[inode]
        tree["bytes"] = max(tree["bytes"], *(used for _, used, _ in held))
        tree["processes"].append(_process(pid))
    return list(found.values())


def show_trees(arguments: Sequence[str] = ()) -> int:
    """Print the trees once; return the exit status."""
    parser = argparse.ArgumentParser(prog="procession top", description="List the process trees that share an arena.")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of text")
    options = parser.parse_args(arguments)
    found = trees()
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    if not found:
        print("No process of yours has an arena open.")
    for tree in found:
        print(f"arena {tree['arena']}: {len(tree['processes'])} processes, {human(tree['bytes'])} shared")
        print("      pid   parent st threads    cpu s   private  command")
        for one in tree["processes"]:
            print(
                f"{one['pid']:9} {one['parent']!s:>8} {one['state']:2} {one['threads']:7} {one['cpu_seconds']:8.1f} "
                f"{human(one['private_bytes']):>9}  {one['command'][:60]}"
            )
            if one["pid"] == tree["lock_owner"] and one["state"] in ("T", "t"):
                print(
                    "          ^ is stopped while it changes the shared memory: all others wait for it, until SIGCONT "
                    "or its death"
                )
    return 0
