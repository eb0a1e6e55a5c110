"""The one object that says who this process is."""

from __future__ import annotations

import os

from ._transfer import current_transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_KEY_BYTES = 32


class AuthenticationString(bytes):
    """A key that is pickled only into the start of a child, so that it does not leak by accident."""

    def __reduce__(self) -> tuple[Callable[[bytes], AuthenticationString], tuple[bytes]]:
        transfer = current_transfer()
        if transfer is None or not transfer.spawning:
            raise TypeError("Pickling an AuthenticationString object is disallowed for security reasons")
        return AuthenticationString, (bytes(self),)


class Runtime:
    """Identity and state of this process.

    Attributes: ``name``; ``identity`` (the path of child numbers from the main process, empty there);
    ``daemon``; ``parent_pid`` and ``parent_name`` (None in the main process); ``is_child``; ``start_method``
    (that of this process's own start, None in the main process); ``main`` (how a child finds ``__main__``,
    None until known); ``main_by_value`` (True once children exist that cannot import ``__main__``);
    ``current`` and ``parent`` (the process objects, set by ``procession_process``); ``authkey``.
    """

    __slots__ = (
        "_authkey",
        "current",
        "daemon",
        "identity",
        "is_child",
        "main",
        "main_by_value",
        "name",
        "original_dir",
        "parent",
        "parent_name",
        "parent_pid",
        "start_method",
    )

    def __init__(self) -> None:
        self.name = "MainProcess"
        self.identity: tuple[int, ...] = ()
        self.daemon = False
        self.parent_pid: int | None = None
        self.parent_name: str | None = None
        self.is_child = False
        self.start_method: str | None = None
        self.main: Any = None
        self.main_by_value = False
        self.current: Any = None
        self.parent: Any = None
        self._authkey: AuthenticationString | None = None
        try:
            self.original_dir: str | None = os.path.abspath(os.getcwd())
        except OSError:  # the directory is gone
            self.original_dir = None

    @property
    def authkey(self) -> AuthenticationString:
        """The key of this process and of the children it starts: 32 random bytes unless set."""
        key = self._authkey
        if key is None:
            key = self._authkey = AuthenticationString(os.urandom(_KEY_BYTES))
        return key

    @authkey.setter
    def authkey(self, key: bytes) -> None:
        self._authkey = AuthenticationString(key)


runtime = Runtime()
"""The runtime of this process. It is one object for good: children change it, nobody replaces it."""
