"""Descriptors that are closed with the object that has them, without a line of Python."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Owner:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __del__(self) -> None:
        if os is not None:  # an interpreter without the GIL takes modules apart before the last objects
            self.close()


def owner(fd: int) -> Any:
    """Return an object that closes *fd* once: in its ``close()``, or when it is dropped.

    On Linux with CPython dropping it runs no Python code. A KeyboardInterrupt that comes while a ``__del__`` begins
    or runs is printed and lost, and closing the descriptor of a process or of a memory file takes long enough for
    that to happen.
    """
    if sys.platform == "linux" and sys.implementation.name == "cpython":
        from select import epoll

        # It makes no system call and takes any descriptor; its destructor closes that, in C and silently.
        return epoll.fromfd(fd)
    return _Owner(fd)
