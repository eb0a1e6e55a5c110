"""Where the pickles of requests and answers go."""

from __future__ import annotations

from procession_core import default_send_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class ManagerTransfer:
    """The transfer of one request or answer.

    *classic* says that CPython's class names and forms are to be written; *address* is that of the server on
    the other end, or of this one; *grant*, on the server, gives the reader a reference on the ident named.
    """

    __slots__ = ("address", "classic", "grant", "granted", "shared")
    spawning = False

    def __init__(self, address: Any, classic: bool, grant: Callable[[str], bool] | None = None) -> None:
        self.address = address
        self.classic = classic
        self.grant = grant
        self.granted = False
        self.shared: list[Any] = []

    def hold(self, shared: object) -> None:
        """Keep *shared* until the message has been answered or followed by the next one."""
        self.shared.append(shared)

    def send_fd(self, fd: int) -> object:
        """Return a token for *fd*, which travels while this process lives."""
        return default_send_fd(fd)

    def clear(self) -> None:
        """Forget everything, to pickle once more."""
        self.shared.clear()
