"""Which descriptors are ready: epoll where there is one, poll elsewhere."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IN = 0x001
OUT = 0x004
BROKEN = 0x008 | 0x010 | 0x020
"""An error, or the other end is gone."""


class _Poll:
    """``select.poll`` with epoll's interface. Changes count from the next call on: wake the poller."""

    live = False

    def __init__(self) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """Return ``(descriptor, events)`` of the ready ones, waiting at most *timeout* seconds."""
        return self._poll.poll(None if timeout is None else timeout * 1000 + 1)

    def close(self) -> None:
        """Nothing to close."""


def make_poller() -> Any:
    """Return an object with ``register``, ``modify``, ``unregister``, ``poll`` and ``close``."""
    return select.epoll() if hasattr(select, "epoll") else _Poll()


LIVE = hasattr(select, "epoll")
"""Whether changes by another thread count at once for a poll that is going on."""
