"""How a process ended, with the evidence there is."""

from __future__ import annotations

import os
import sys
from sys import modules
from time import monotonic

_SIGKILL = 9
_STACK_LIMIT = 65536


class Death:
    """Why a process is no more.

    ``exitcode``; ``signal_name`` ("SIGSEGV", None if it exited by itself); ``out_of_memory`` (True where the
    kernel's counter says its out-of-memory killer struck during the process's life, False where it says it
    did not, None where that cannot be known or does not apply); ``stack`` (what faulthandler wrote on a fatal
    signal, None otherwise).
    """

    __slots__ = ("exitcode", "out_of_memory", "signal_name", "stack")

    def __init__(
        self, exitcode: int, signal_name: str | None, out_of_memory: bool | None, stack: str | None
    ) -> None:
        self.exitcode = exitcode
        self.signal_name = signal_name
        self.out_of_memory = out_of_memory
        self.stack = stack

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Death):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[type[Death], tuple[int, str | None, bool | None, str | None]]:
        return Death, (self.exitcode, self.signal_name, self.out_of_memory, self.stack)

    def shown_code(self) -> str:
        """Return the exit code with the name of the signal, where it has one: "1", "-SIGKILL", "-40"."""
        name = self.signal_name
        return f"-{name}" if name is not None and name.startswith("SIG") else str(self.exitcode)

    def __str__(self) -> str:
        text = f"exit code {self.exitcode}"
        if self.signal_name is not None:
            text = f"killed by {self.signal_name}"
        if self.out_of_memory:
            text += " (the kernel was out of memory)"
        return text

    def __repr__(self) -> str:
        return f"<Death: {self}>"


def signal_name(exitcode: int | None) -> str | None:
    """Return the name of the signal that a negative exit code stands for, else None."""
    if exitcode is None or exitcode >= 0:
        return None
    import signal

    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"


def _memory_files() -> list[tuple[str, str]]:
    # cgroup v2, cgroup v1, and the whole machine. Those of the cgroup name the culprit better and come first.
    found = []
    try:
        with open("/proc/self/cgroup") as lines:
            for line in lines:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                if not controllers:
                    found.append((f"/sys/fs/cgroup{path}/memory.events", "oom_kill "))
                elif "memory" in controllers.split(","):
                    found.append((f"/sys/fs/cgroup/memory{path}/memory.oom_control", "oom_kill "))
    except (OSError, ValueError):
        pass
    found.append(("/proc/vmstat", "oom_kill "))
    return found


def _read_counter(path: str, key: str) -> int | None:
    try:
        with open(path) as lines:
            for line in lines:
                if line.startswith(key):
                    return int(line[len(key) :])
    except (OSError, ValueError):
        pass
    return None


_counter: tuple[str, str] | None = None
_last: int | None = None
_spare, _spare_until = 0, 0.0
_SPARE_SECONDS = 5.0
"""Kills that were counted beyond the one that was noticed belong to children that are noticed so soon after."""


def watch_memory() -> None:
    """Remember the kernel's count of out-of-memory kills. Called at a process's first start of a child."""
    global _counter, _last
    if _counter is None:
        for path, key in _memory_files():
            value = _read_counter(path, key)
            if value is not None:
                _counter, _last = (path, key), value
                return
        _counter = ("", "")


def _out_of_memory(exitcode: int) -> bool | None:
    global _last, _spare, _spare_until
    if exitcode != -_SIGKILL:
        return None
    if _counter is None or not _counter[0]:
        return None
    value = _read_counter(*_counter)
    if value is None or _last is None:
        return None
    new = value - _last
    _last = value
    if new > 0:
        _spare, _spare_until = new - 1, monotonic() + _SPARE_SECONDS
        return True
    if _spare and monotonic() < _spare_until:
        _spare -= 1
        return True
    return False


def new_stack_file() -> int:
    """Return a descriptor for a child's faulthandler, or -1 where faulthandler is not enabled in this
    process.
    """
    module = modules.get("faulthandler")
    if module is None or not module.is_enabled() or sys.platform != "linux":
        return -1
    return os.memfd_create("procession-stack")


def enable_stack(fd: int) -> None:
    """In a child: let faulthandler write to *fd*."""
    if fd >= 0:
        import faulthandler

        faulthandler.enable(file=fd)


def read_stack(fd: int) -> str | None:
    """Return what a child's faulthandler wrote, and repeat it on stderr, where it would have gone."""
    if fd < 0 or sys.platform == "win32":
        return None
    size = os.fstat(fd).st_size
    data = os.pread(fd, min(size, _STACK_LIMIT), 0)
    if not data:
        return None
    try:
        os.write(2, data)
    except OSError:
        pass
    return data.decode(errors="replace")


def examine(exitcode: int, stack_fd: int) -> Death:
    """Collect the evidence about a child that has ended with *exitcode*."""
    return Death(exitcode, signal_name(exitcode), _out_of_memory(exitcode), read_stack(stack_fd))
