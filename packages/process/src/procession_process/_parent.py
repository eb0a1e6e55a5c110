"""The parent as its child sees it."""

from __future__ import annotations

import os
import sys

from procession_core import NotSupportedError, check_timeout

from ._waiting import wait_readable


def _always_readable() -> int:
    # Not /dev/null, which poll() takes and epoll refuses.
    reading, writing = os.pipe()
    os.close(writing)
    return reading


class ParentProcess:
    """What ``parent_process()`` returns: name, pid, ``is_alive()``, ``join()`` and a sentinel, but no
    control.
    """

    def __init__(self, name: str, pid: int, sentinel: int | None) -> None:
        self._name = name
        self._pid = pid
        self._sentinel = sentinel

    @property
    def name(self) -> str:
        """The parent's name when it started this process."""
        return self._name

    @property
    def pid(self) -> int:
        """The parent's process id."""
        return self._pid

    ident = pid

    @property
    def daemon(self) -> bool:
        """Whether the parent is daemonic: never, since daemonic processes have no children."""
        return False

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the parent has ended."""
        if self._sentinel is None:
            self._sentinel = self._open()
        return self._sentinel

    def _open(self) -> int:
        if sys.platform == "win32":
            from ._windows import open_process

            return open_process(self._pid)
        if sys.platform != "linux":
            raise NotSupportedError(
                "the end of the parent cannot be waited for on this platform; ask os.getppid() whether it is still "
                f"{self._pid}"
            )
        # Opened when first asked for: most children never do. getppid() tells whether the pid is still the
        # parent's.
        try:
            fd = os.pidfd_open(self._pid)
        except ProcessLookupError:
            return _always_readable()
        if os.getppid() != self._pid:
            os.close(fd)
            return _always_readable()
        return fd

    def is_alive(self) -> bool:
        """Say whether the parent is still running."""
        return not wait_readable((self.sentinel,), 0)

    def join(self, timeout: float | None = None) -> None:
        """Block until the parent has ended, at most *timeout* seconds. Raises TypeError, ValueError for the
        latter.
        """
        wait_readable((self.sentinel,), check_timeout(timeout))

    def __repr__(self) -> str:
        return f"<ParentProcess name={self._name!r} pid={self._pid}>"
