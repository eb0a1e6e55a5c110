"""What all launchers share: a running child as its parent holds it."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    raise ImportError("procession_process._launch._popen needs POSIX")

import select  # noqa: F401 -- join() needs it, and may come when no descriptor is left to load it with
from _thread import allocate_lock

from procession_core import owner

from .._death import Death, examine
from .._native import note_exit
from .._tree import terminate_tree
from .._waiting import wait_readable

try:
    # `signal` itself imports enum.
    from _signal import pidfd_send_signal  # type: ignore[import-not-found]
except ImportError:
    pidfd_send_signal = None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# By themselves: as attributes of `os` each costs a page more when a child has just been forked.
_waitid: Any = getattr(os, "waitid", None)
_FLAGS: int = getattr(os, "WEXITED", 0) | getattr(os, "WNOWAIT", 0)
_P_PIDFD = 3
_SIGINT, _SIGKILL, _SIGTERM = 2, 9, 15


def check_room(number: int = 1) -> None:
    """Raise OSError unless there is room for *number* pidfds: found out after a fork, the child would have begun."""
    fds: list[int] = []
    try:
        if sys.platform == "linux":
            for _ in range(number):
                fds.append(os.pidfd_open(os.getpid()))
    finally:
        for fd in fds:
            os.close(fd)


def undo(pid: int) -> None:
    """End the child *pid*, which was just made."""
    os.kill(pid, _SIGKILL)
    os.waitpid(pid, 0)


class BasePopen:
    """A child that is a direct child of this process."""

    method = ""
    # In the class until they differ: a smaller object is made and dropped faster.
    returncode: int | None = None
    pid = 0
    sentinel = -1
    _sentinel_is_pidfd = True
    _stack_fd = -1
    _death: Death | None = None
    _sentinel_owner: Any = None
    _stack_owner: Any = None

    def __init__(self, process: Any) -> None:
        self._lock = allocate_lock()
        try:
            self._launch(process)
        finally:
            self._own()

    def _own(self) -> None:
        """Close the descriptors with this object. It has no ``__del__``: an interrupt in that would be lost."""
        if self.sentinel >= 0 and self._sentinel_owner is None:
            self._sentinel_owner = owner(self.sentinel)
        if self._stack_fd >= 0 and self._stack_owner is None:
            self._stack_owner = owner(self._stack_fd)

    def _launch(self, process: Any) -> None:
        """Start the child and set ``pid`` and ``sentinel``."""

    def _adopt(self, pid: int) -> None:
        """Take *pid*, a new direct child; if that fails, nothing of it stays. Raises OSError."""
        try:
            if sys.platform != "linux":
                raise OSError("descriptors of processes need Linux")
            sentinel = os.pidfd_open(pid)
        except OSError:
            undo(pid)
            raise
        self._sentinel_owner = owner(sentinel)
        self.sentinel = sentinel
        self.pid = pid

    # ---- the end -------------------------------------------------------------------------------------------

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit code, or None while the child runs."""
        if self.returncode is None:
            if flag:
                self._collect()
            else:
                self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Block until the child has ended, at most *timeout* seconds, and return its exit code or None."""
        if self.returncode is not None:
            return self.returncode
        if timeout is None and self._sentinel_is_pidfd:
            try:
                # Not waitpid(): another thread may poll or signal meanwhile, so the child is not collected here.
                _waitid(_P_PIDFD, self.sentinel, _FLAGS)
            except OSError:
                wait_readable((self.sentinel,), None)  # somebody else collected it, or there is no P_PIDFD
            self._collect(0)
        elif wait_readable((self.sentinel,), timeout):
            # A pipe as sentinel is closed shortly before the end, and is no witness once a grandchild has a
            # copy.
            self._collect(0 if self._sentinel_is_pidfd or timeout is None else os.WNOHANG)
            if self.returncode is None and timeout is not None and not self._sentinel_is_pidfd:
                self._collect(0)
        return self.returncode

    def _collect(self, flag: int = os.WNOHANG) -> None:
        with self._lock:
            if self.returncode is not None:
                return
            try:
                pid, status = os.waitpid(self.pid, flag)
            except ChildProcessError:
                # Somebody else took the status (a handler of SIGCHLD, or SIGCHLD is ignored): it is lost.
                if wait_readable((self.sentinel,), 0):
                    self._ended(255, 0xFF00)
                return
            if pid == self.pid:
                self._ended(os.waitstatus_to_exitcode(status), status)

    def _ended(self, exitcode: int, status: int) -> None:
        self.returncode = exitcode
        note_exit(self.pid, status)
        if exitcode < 0:
            self._death = examine(exitcode, self._stack_fd)

    def death(self) -> Death | None:
        """Return how the child ended, or None while it runs."""
        exitcode = self.poll()
        if exitcode is not None and self._death is None:
            self._death = examine(exitcode, -1)
        return self._death

    # ---- signals -------------------------------------------------------------------------------------------

    def _signal(self, number: int) -> None:
        with self._lock:
            if self.returncode is not None:
                return
            try:
                if self._sentinel_is_pidfd and pidfd_send_signal is not None:
                    pidfd_send_signal(self.sentinel, number)
                else:
                    os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def interrupt(self) -> None:
        """Send SIGINT."""
        self._signal(_SIGINT)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._signal(_SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal(_SIGKILL)

    def terminate_tree(self, timeout: float | None) -> None:
        """Terminate the child and its descendants, and wait for the child."""
        if self.poll() is None:
            terminate_tree(self.pid, timeout)
            self.wait()

    # ---- resources -----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the descriptors."""
        self._own()
        self.sentinel = self._stack_fd = -1
        owners = self._sentinel_owner, self._stack_owner
        self._sentinel_owner = self._stack_owner = None
        for each in owners:
            if each is not None:
                each.close()
