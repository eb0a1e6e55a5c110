"""Start method spawn on Windows: a fresh interpreter, which inherits a list of handles."""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("procession_process._launch._windows needs Windows")

import _winapi
import os
from _thread import allocate_lock

from .._death import Death, examine
from .._native import reserve
from .._windows import close, duplicate, wait_handles
from ._command import command_line
from ._payload import SpawnTransfer, build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TERMINATED = 0x10000
"""The exit code of a process that was ended by ``terminate()``; reported as minus SIGTERM, as CPython does."""
_SIGTERM = 15


class Popen:
    """A child in a fresh interpreter."""

    method = "spawn"
    returncode: int | None = None
    pid = 0
    sentinel = -1
    _death: Death | None = None

    def __init__(self, process: Any) -> None:
        self._lock = allocate_lock()
        transfer = SpawnTransfer(reserve(process.name))
        try:
            data, _ = build(transfer, process, self.method)
            reader, writer = _winapi.CreatePipe(None, 0)
            try:
                transfer.fds.append(duplicate(reader))
                _winapi.CloseHandle(reader)
                self._start(command_line("_child", transfer.fds, False), transfer.fds)
            except BaseException:
                _winapi.CloseHandle(writer)
                raise
        except BaseException:
            transfer.fail()
            raise
        transfer.close()
        # The child reads it before anything else. If it has died, its exit code tells.
        try:
            view = memoryview(data)
            while view:
                view = view[_winapi.WriteFile(writer, bytes(view[: 1 << 20]))[0] :]
        except OSError:
            pass
        finally:
            _winapi.CloseHandle(writer)

    def _start(self, command: list[str], handles: list[int]) -> None:
        import subprocess

        environment = None
        executable = command[0]
        base = getattr(sys, "_base_executable", None)
        if base and executable == sys.executable and os.path.normcase(base) != os.path.normcase(executable):
            # The executable of a virtual environment only starts the real one, which would not inherit the handles.
            environment = {**os.environ, "__PYVENV_LAUNCHER__": executable}
            executable = base
        options = subprocess.STARTUPINFO(lpAttributeList={"handle_list": list(handles)})
        started = _winapi.CreateProcess(
            executable,
            subprocess.list2cmdline(command),
            None,
            None,
            True,
            0,
            environment or dict(os.environ),
            None,
            options,
        )
        _winapi.CloseHandle(started[1])
        self.sentinel, self.pid = int(started[0]), started[2]

    def poll(self, flag: int = 1) -> int | None:
        """Return the exit code, or None while the child runs."""
        return self.wait(0 if flag else None)

    def wait(self, timeout: float | None = None) -> int | None:
        """Block until the child has ended, at most *timeout* seconds, and return its exit code or None."""
        if self.returncode is None and wait_handles((self.sentinel,), timeout):
            code = _winapi.GetExitCodeProcess(self.sentinel)
            self.returncode = -_SIGTERM if code == _TERMINATED else code
        return self.returncode

    def death(self) -> Death | None:
        """Return how the child ended, or None while it runs."""
        exitcode = self.poll()
        if exitcode is not None and self._death is None:
            self._death = examine(exitcode, -1)
        return self._death

    def terminate(self) -> None:
        """End the child at once; there is no other way here."""
        with self._lock:
            if self.returncode is None:
                try:
                    _winapi.TerminateProcess(self.sentinel, _TERMINATED)
                except PermissionError:
                    pass  # it is about to end

    kill = interrupt = terminate

    def terminate_tree(self, timeout: float | None) -> None:
        """End the child and wait for it. Its descendants are not found here."""
        self.terminate()
        self.wait()

    def close(self) -> None:
        """Close the handle."""
        if self.sentinel >= 0:
            close(self.sentinel)
            self.sentinel = -1

    def __del__(self) -> None:
        self.close()
