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
            raise TypeError(
                "Pickling an AuthenticationString object is disallowed for security reasons: children get their "
                "parent's key by themselves, for others use bytes(key) and a safe way"
            )
        return AuthenticationString, (bytes(self),)


class Runtime:
    """Identity and state of this process.

    ``current`` is the process object, set by ``procession_process``; ``name``, ``identity`` (the path of child
    numbers from the main process, empty there), ``daemon``, ``parent_pid``, ``parent_name`` (None in the main
    process) and ``authkey`` are read from it, so that a forked child has one thing to write: every page that
    it writes to is copied. Without it, and in a child that does not have it yet, they are what was set here.
    ``parent`` is the parent's object, which ``make_parent`` makes of its name, its pid and ``parent_sentinel``;
    ``former`` the one that was current before a fork, kept because to drop it would be to write to it; ``starter``
    that of the process that has started a child, or of a parent that had. ``is_child``; ``start_method`` (that of this
    process's own start, None in the main process); ``forks_as`` (that of the copies of this process, None before there
    are any); ``default_method`` (that chosen for the children of this process, None while none was chosen); ``main``
    (how a child finds ``__main__``, None until known); ``main_by_value`` (True once children exist that cannot import
    ``__main__``); ``original_dir``.
    """

    __slots__ = (
        "_authkey",
        "_name",
        "_parent",
        "_parent_name",
        "_parent_pid",
        "current",
        "default_method",
        "forks_as",
        "former",
        "is_child",
        "main",
        "main_by_value",
        "make_parent",
        "original_dir",
        "parent_sentinel",
        "start_method",
        "starter",
    )

    def __init__(self) -> None:
        self._name = "MainProcess"
        self._parent_pid: int | None = None
        self._parent_name: str | None = None
        self.is_child = False
        self.start_method: str | None = None
        self.forks_as: str | None = None
        self.default_method: str | None = None
        self.main: Any = None
        self.main_by_value = False
        self.current: Any = None
        self.former: Any = None
        self.starter: Any = None
        self._parent: Any = None
        self.make_parent: Callable[..., Any] | None = None
        self.parent_sentinel: int | None = None
        self._authkey: AuthenticationString | None = None
        try:
            self.original_dir: str | None = os.path.abspath(os.getcwd())
        except OSError:  # the directory is gone
            self.original_dir = None

    @property
    def name(self) -> str:
        """The name of this process."""
        name: str = self._name if self.current is None else self.current._name
        return name

    @name.setter
    def name(self, name: str) -> None:
        self._name = name
        if self.current is not None:
            self.current._name = name

    @property
    def identity(self) -> tuple[int, ...]:
        """The path of child numbers from the main process."""
        identity: tuple[int, ...] = () if self.current is None else self.current._identity
        return identity

    @property
    def daemon(self) -> bool:
        """Whether this process ends with its parent."""
        return self.current is not None and bool(self.current._config.get("daemon"))

    @property
    def parent_pid(self) -> int | None:
        """The process that started this one."""
        pid: int | None = None if self.current is None else self.current._parent_pid
        return self._parent_pid if pid is None else pid

    @parent_pid.setter
    def parent_pid(self, pid: int) -> None:
        self._parent_pid = pid

    @property
    def parent_name(self) -> str | None:
        """The name of the process that started this one."""
        name: str | None = None if self.current is None else self.current._parent_name
        return name or self._parent_name

    @parent_name.setter
    def parent_name(self, name: str) -> None:
        self._parent_name = name

    @property
    def parent(self) -> Any:
        """The object that stands for the parent, None in the main process."""
        # Made when somebody asks: few children do.
        if self._parent is None and self.is_child and self.make_parent is not None:
            self._parent = self.make_parent(self.parent_name, self.parent_pid, self.parent_sentinel)
        return self._parent

    @property
    def authkey(self) -> AuthenticationString:
        """The key of this process and of the children it starts: 32 random bytes unless set."""
        if self.current is not None:
            own: AuthenticationString = self.current._config["authkey"]
            return own
        key = self._authkey
        if key is None:
            key = self._authkey = AuthenticationString(os.urandom(_KEY_BYTES))
        return key

    @authkey.setter
    def authkey(self, key: bytes) -> None:
        self._authkey = AuthenticationString(key)
        if self.current is not None:
            self.current._config["authkey"] = self._authkey


runtime = Runtime()
"""The runtime of this process. It is one object for good: children change it, nobody replaces it."""
