"""What stands before the descriptor of a pipe while messages from before are left in its ring.

Somebody who asked for the descriptor waits for it to become readable, and it must be as long as there is something to
receive. What is left in the ring does not make it so.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Front:
    """A descriptor that is readable when *handle* is, and until ``quiet()`` is called.

    Raises OSError when no descriptors are left.
    """

    _light: int
    _close: Any

    def __init__(self, handle: int) -> None:
        if sys.platform != "linux":
            raise OSError("rings are the C core's, which runs on Linux")
        import os
        import select

        self._close = os.close
        self._light = os.eventfd(1, os.EFD_CLOEXEC)
        try:
            self._epoll: Any = select.epoll()
        except OSError:
            os.close(self._light)
            raise
        self._epoll.register(self._light, select.EPOLLIN)
        self._epoll.register(handle, select.EPOLLIN | select.EPOLLRDHUP)

    def fileno(self) -> int:
        """Return the descriptor, the same for the life of the connection."""
        return int(self._epoll.fileno())

    def follow(self, end: Any) -> None:
        """Become quiet if nothing is left in the ring of *end*."""
        if self._light >= 0 and not end.has():
            self.quiet()

    def quiet(self) -> None:
        """From now on only the descriptor itself counts."""
        light, self._light = self._light, -1
        if light >= 0:
            self._epoll.unregister(light)
            self._close(light)

    def close(self) -> None:
        """Close what stands before the descriptor."""
        self.quiet()
        self._epoll.close()
