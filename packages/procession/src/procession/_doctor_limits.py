"""The limits of this machine, container and shell that programs with many processes meet."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("MIB", "NOTE", "OK", "WARNING", "Finding", "cgroup_value", "examine", "human", "meminfo", "read")

OK = "ok"
NOTE = "note"
WARNING = "warning"

MIB = 1 << 20

_FEW_DESCRIPTORS = 256
_SMALL_FILE = 256 * MIB
_SMALL_SPACE = 2048 * MIB
_SMALL_MEMORY = 512 * MIB
_SMALL_SHM = 64 * MIB
_FEW_PROCESSES = 64


class Finding:
    """One line of the report: *name*, *level*, what was found, advice in plain words, figures for scripts."""

    __slots__ = ("advice", "figures", "level", "name", "text")

    def __init__(
        self, name: str, level: str, text: str, advice: str = "", figures: dict[str, Any] | None = None
    ) -> None:
        self.name = name
        self.level = level
        self.text = text
        self.advice = advice
        self.figures = figures or {}

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "name": self.name,
            "level": self.level,
            "text": self.text,
            "advice": self.advice,
            **self.figures,
        }


def human(size: int | None) -> str:
    """Return *size* bytes for people; None is "no limit"."""
    if size is None:
        return "no limit"
    number, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1024 and len(units) > 1:
        number, units = number / 1024, units[1:]
    return f"{number:.0f} {units[0]}" if number >= 10 or units[0] == "B" else f"{number:.1f} {units[0]}"


def read(path: str) -> str | None:
    """Return the text of a small file, None if it cannot be read."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def cgroup_value(name: str, old: str = "") -> int | None:
    """Return the smallest value of cgroup file *name* from this process's group to the root, None if unlimited.

    *old* is the file of cgroup v1, as controller/file.
    """
    values = []
    for line in (read("/proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, file = "/sys/fs/cgroup", name
        elif old and old.partition("/")[0] in controllers.split(","):
            base, file = f"/sys/fs/cgroup/{old.partition('/')[0]}", old.partition("/")[2]
        else:
            continue
        while True:
            text = read(f"{base}{path.rstrip('/')}/{file}")
            if text and text.isdigit() and int(text) < 1 << 60:  # v1 writes a huge number for "none"
                values.append(int(text))
            if path in ("", "/"):
                break
            path = os.path.dirname(path)
    return min(values, default=None)


def meminfo(key: str) -> int | None:
    """Return an entry of /proc/meminfo in bytes."""
    for line in (read("/proc/meminfo") or "").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return None


def examine() -> list[Finding]:
    """Return a finding for each limit that this platform has."""
    findings = [_cpus(), *_signals(), _variables()]
    if sys.platform.startswith("linux"):
        findings += [_memory(), _overcommit(), _shm(), *_tasks()]
    if sys.platform != "win32":
        findings += _resources()
    return findings


def _cpus() -> Finding:
    total = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    text = f"{total}" if usable == total else f"{total}, of which this process may use {usable}"
    quota = (read("/sys/fs/cgroup/cpu.max") or "").split()
    if len(quota) == 2 and quota[0].isdigit():
        share = int(quota[0]) / int(quota[1])
        text += f"; the container grants {share:g} CPUs' time"
        if share < usable:
            return Finding(
                "processors",
                WARNING,
                text,
                f"Pool() would start more workers than can run: give it processes={max(1, round(share))}.",
                {"cpus": total, "usable": usable, "share": share},
            )
    return Finding("processors", OK, text, figures={"cpus": total, "usable": usable})


def _signals() -> list[Finding]:
    import signal

    ignored = getattr(signal, "SIGCHLD", None)
    if ignored is None or signal.getsignal(ignored) != signal.SIG_IGN:
        return []
    return [
        Finding(
            "SIGCHLD",
            WARNING,
            "is ignored, inherited from the program that started this one",
            "Exit codes of children are lost then and read as 255. Do not ignore SIGCHLD.",
        )
    ]


def _variables() -> Finding:
    found = {key: value for key, value in sorted(os.environ.items()) if key.startswith("PROCESSION_")}
    text = ", ".join(f"{key}={value}" for key, value in found.items()) or "no PROCESSION_ variable is set"
    return Finding("environment", NOTE if found else OK, text, figures={"variables": found})


def _memory() -> Finding:
    available = meminfo("MemAvailable")
    limit = cgroup_value("memory.max", "memory/memory.limit_in_bytes")
    text = f"{human(available)} available of {human(meminfo('MemTotal'))}"
    figures = {"available": available, "container_limit": limit}
    left = available
    if limit is not None:
        used = cgroup_value("memory.current", "memory/memory.usage_in_bytes") or 0
        text += f"; the container may use {human(limit)} and uses {human(used)}"
        left = min(limit - used, available if available is not None else limit)
    if left is not None and left < _SMALL_MEMORY:
        advice = "Processes that ask for more are killed by the kernel; the death then says out_of_memory. "
        advice += "Use fewer workers, or Pool(memory_limit=...) to let the task fail instead."
        return Finding("memory", WARNING, text, advice, figures)
    return Finding("memory", OK, text, figures=figures)


def _overcommit() -> Finding:
    mode = read("/proc/sys/vm/overcommit_memory")
    if mode == "2":
        return Finding(
            "overcommit",
            NOTE,
            "vm.overcommit_memory is 2: memory is promised only where it exists",
            "fork() of a big process can fail with ENOMEM: prefer forkserver or spawn.",
        )
    return Finding("overcommit", OK, f"vm.overcommit_memory is {mode}")


def _shm() -> Finding:
    try:
        if sys.platform == "win32":
            raise FileNotFoundError(2, "not on this platform")
        status = os.statvfs("/dev/shm")
    except OSError as error:
        return Finding(
            "shared memory", NOTE, f"/dev/shm: {error.strerror}", "SharedMemory cannot be used here."
        )
    size, free = status.f_frsize * status.f_blocks, status.f_frsize * status.f_bavail
    text = f"/dev/shm has {human(free)} free of {human(size)}; only SharedMemory uses it"
    figures = {"size": size, "free": free}
    if free <= _SMALL_SHM:
        advice = "A larger SharedMemory raises OSError. For docker: --shm-size=1g. Blocks, arrays and queues do not "
        advice += "need it."
        return Finding("shared memory", NOTE, text, advice, figures)
    return Finding("shared memory", OK, text, figures=figures)


def _tasks() -> list[Finding]:
    limit = cgroup_value("pids.max", "pids/pids.max")
    if limit is None:
        return []
    used = cgroup_value("pids.current", "pids/pids.current") or 0
    text = f"the container may have {limit} processes and threads, and has {used}"
    if limit - used < _FEW_PROCESSES:
        return [
            Finding("tasks", WARNING, text, "Starting more raises BlockingIOError (EAGAIN): raise pids.max.")
        ]
    return [Finding("tasks", OK, text, figures={"limit": limit, "used": used})]


def _soft(kind: int) -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    value = resource.getrlimit(kind)[0]
    return None if value in (-1, resource.RLIM_INFINITY) else value


def _resources() -> list[Finding]:
    if sys.platform == "win32":
        return []
    import resource

    findings = []
    descriptors = _soft(resource.RLIMIT_NOFILE)
    text = "no limit" if descriptors is None else f"{descriptors} (ulimit -n)"
    if descriptors is not None and descriptors < _FEW_DESCRIPTORS:
        advice = (
            "Each child needs a few, each connection one. OSError 24 is this limit: raise it with ulimit -n."
        )
        findings.append(Finding("descriptors", WARNING, text, advice, {"limit": descriptors}))
    else:
        findings.append(Finding("descriptors", OK, text, figures={"limit": descriptors}))
    for name, kind, small, option, advice in (
        ("file size", resource.RLIMIT_FSIZE, _SMALL_FILE, "-f",
         "The arena is a file for the kernel: it cannot grow beyond this, and MemoryError is raised."),
        ("address space", getattr(resource, "RLIMIT_AS", -1), _SMALL_SPACE, "-v",
         "The arena is mapped in windows of 64 MiB; when none fits, MemoryError is raised."),
    ):  # fmt: skip
        if kind < 0:
            continue
        limit = _soft(kind)
        bites = limit is not None and limit < small
        text = human(limit) + (f" (ulimit {option})" if limit is not None else "")
        findings.append(
            Finding(name, WARNING if bites else OK, text, advice if bites else "", {"limit": limit})
        )
    processes = _soft(getattr(resource, "RLIMIT_NPROC", 0)) if hasattr(resource, "RLIMIT_NPROC") else None
    findings.append(
        Finding(
            "processes",
            OK if processes is None or processes > _FEW_PROCESSES else WARNING,
            "no limit" if processes is None else f"{processes} of this user (ulimit -u)",
            ""
            if processes is None or processes > _FEW_PROCESSES
            else "Starting more raises BlockingIOError (EAGAIN).",
            {"limit": processes},
        )
    )
    return findings
