"""``procession top``: the process trees on this machine that share an arena, as /proc and the arena itself show them.

The arena has no name, but every process of a tree keeps it open: the same inode is the same tree. Only processes of
this user are seen, without privileges.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from procession_native import core

from ._doctor_limits import human, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

__all__ = ("show_trees", "trees")

_ARENA = "/memfd:procession (deleted)"
"""The other files that procession has in memory have a longer name. Which was made first cannot be told: each CPU has
a stock of inode numbers of its own."""

_FIRST = "MainProcess"
"""The first process of a tree has no name in the registry, unless the program gave it one."""


def _arenas(pid: str) -> Iterator[tuple[int, int, str]]:
    """Yield inode, used bytes and path of each arena that process *pid* has open."""
    if sys.platform == "win32":
        return
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        path = f"/proc/{pid}/fd/{name}"
        try:
            if os.readlink(path) == _ARENA:
                status = os.stat(path)
                yield status.st_ino, status.st_blocks * 512, path
        except OSError:
            continue


def _seen(path: str) -> dict[str, Any]:
    """Return what an arena's own words say, or why they cannot be read. The file is read, not mapped, never written."""
    if core is None or sys.platform == "win32":
        return {"lock_owner": None, "registry": None, "unreadable": "this Python runs without the C core"}
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return {"lock_owner": None, "registry": None, "unreadable": error.strerror or str(error)}
    try:
        registry = {one.pop("pid"): one for one in core.registry_of(fd) if one["state"] != "dead"}
        # Somebody changes the arena for microseconds now and then; for longer only if it is stopped.
        return {"lock_owner": core.lock_owner(fd), "registry": registry, "unreadable": None}
    except (ValueError, OSError) as error:
        return {
            "lock_owner": None,
            "registry": None,
            "unreadable": f"{error}; use the procession of that tree",
        }
    finally:
        os.close(fd)


def _process(pid: str) -> dict[str, Any]:
    fields = (read(f"/proc/{pid}/stat") or "").rpartition(")")[2].split()
    status = dict(
        line.split(":", 1) for line in (read(f"/proc/{pid}/status") or "").splitlines() if ":" in line
    )
    if sys.platform == "win32":
        return {}
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


def trees(pid: int | None = None) -> list[dict[str, Any]]:
    """Return each tree, or the one of process *pid*: ``bytes`` of shared memory in use, its ``processes`` (under
    ``registry`` what the arena knows of each: name, ``waits_for`` and since how many seconds, who holds that),
    ``lock_owner``, the pid of the one that is changing the arena at this moment, or None, and ``unreadable``, why there
    is no registry, or None. Linux; elsewhere empty.
    """
    found: dict[int, dict[str, Any]] = {}
    try:
        pids = sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int)
    except OSError:
        return []
    for one in pids:
        held = list(_arenas(one))
        if not held:
            continue
        inode, used, path = min(held)
        if inode not in found:
            found[inode] = {"arena": inode, "bytes": 0, "processes": [], **_seen(path)}
        tree = found[inode]
        tree["bytes"] = max(tree["bytes"], used)
        process = _process(one)
        process["registry"] = (tree["registry"] or {}).get(int(one))
        tree["processes"].append(process)
    for tree in found.values():
        del tree["registry"]
    return [t for t in found.values() if pid is None or pid in [process["pid"] for process in t["processes"]]]


def _waits(registry: dict[str, Any], names: dict[int, str]) -> str:
    """Say what a process waits for."""
    what, seconds = registry["waits_for"], registry["waits_seconds"]
    if what is None:
        return ""
    text = f"waits for {seconds:.1f} s for {what['kind']} {what['at']:#x}"
    if what["holder"] is not None:
        holder = names.get(what["holder"], "gone")
        text += f", held for {what['held_seconds']:.1f} s by {what['holder']} ({holder})"
    return text


def show_trees(arguments: Sequence[str] = ()) -> int:
    """Print the trees once; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="procession top", description="List the process trees that share an arena."
    )
    parser.add_argument("pid", nargs="?", type=int, help="show the tree of this process only")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of text")
    options = parser.parse_args(arguments)
    found = trees(options.pid)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    if not found:
        print(
            "No process of yours has an arena open."
            if options.pid is None
            else f"Process {options.pid} has no arena open, or is not yours."
        )
    for tree in found:
        print(f"arena {tree['arena']}: {len(tree['processes'])} processes, {human(tree['bytes'])} shared")
        if tree["unreadable"]:
            print(f"  what its processes wait for cannot be read: {tree['unreadable']}")
        print("      pid   parent st threads    cpu s   private  command")
        names = {
            one["pid"]: one["registry"]["name"] or _FIRST for one in tree["processes"] if one["registry"]
        }
        for one in tree["processes"]:
            print(
                f"{one['pid']:9} {one['parent']!s:>8} {one['state']:2} {one['threads']:7} {one['cpu_seconds']:8.1f} "
                f"{human(one['private_bytes']):>9}  {one['command'][:60]}"
            )
            if one["registry"]:
                print(
                    f"          {names[one['pid']]} {_waits(one['registry'], names) or 'waits for nothing shared'}"
                )
            if one["pid"] == tree["lock_owner"] and one["state"] in ("T", "t"):
                print(
                    "          ^ is stopped while it changes the shared memory: all others wait for it, until SIGCONT "
                    "or its death"
                )
    return 0
