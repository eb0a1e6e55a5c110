"""The transfer of a message inside this process tree."""

from __future__ import annotations

from procession_core import default_send_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class MessageTransfer:
    """The transfer of a message inside this process tree: it collects what the pickle names, in ``refs``."""

    __slots__ = ("refs",)
    spawning = False

    def __init__(self) -> None:
        self.refs: list[Any] = []

    def hold(self, shared: Any) -> None:
        """Put *shared* on the message's list."""
        if shared not in self.refs:
            self.refs.append(shared)

    def send_fd(self, fd: int) -> object:
        """Return a picklable token for *fd*, which travels beside the message."""
        return default_send_fd(fd)
