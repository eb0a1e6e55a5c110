"""What a child that is not a fork is told before it can run: one frozen object, and hooks for guests.

| field | meaning |
| --- | --- |
| version | of this table; a child refuses one that it does not know |
| name, parent_pid, parent_name, start_method, authkey | the child's identity |
| default_method | the start method that the parent has chosen, or None |
| sys_path, sys_argv, directory, original_directory | where it looks and stands |
| main | how it gets ``__main__``: ("name", module), ("path", file), ("frozen", "__main__") or None |
| main_by_value | True where it cannot import ``__main__``: functions of it travel by value |
| logging | (to stderr, level) of the parent's logger, or None if it was never asked for |
| arena | what it needs to attach to the arena, or None |
| parent_fd | a descriptor that becomes readable when the parent is gone: its index among those sent, or -1 |
| life_fd | the read end of the parent's life pipe (daemonic children): its index, or -1 |
| stack_fd | where its faulthandler writes: its index, or -1 |
| extras | name -> (hook "module:function", value): run in the child before ``__main__`` is prepared |
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERSION = 1

_FIELDS = (
    "arena",
    "authkey",
    "default_method",
    "directory",
    "extras",
    "life_fd",
    "logging",
    "main",
    "main_by_value",
    "name",
    "original_directory",
    "parent_fd",
    "parent_name",
    "parent_pid",
    "stack_fd",
    "start_method",
    "sys_argv",
    "sys_path",
)


class Preparation:
    """The frozen state that a child starts from. Made with keywords only, one for each field of the table
    above.
    """

    __slots__ = (*_FIELDS, "version")

    if TYPE_CHECKING:
        arena: tuple[int, int, int, int] | None
        authkey: bytes
        default_method: str | None
        directory: str | None
        extras: dict[str, tuple[str, Any]]
        life_fd: int
        logging: tuple[bool, int] | None
        main: tuple[str, str] | None
        main_by_value: bool
        name: str
        original_directory: str | None
        parent_fd: int
        parent_name: str
        parent_pid: int
        stack_fd: int
        start_method: str
        sys_argv: list[str]
        sys_path: list[str]
        version: int

    def __init__(self, **fields: Any) -> None:
        put = object.__setattr__
        put(self, "version", fields.pop("version", VERSION))
        if self.version != VERSION:
            raise ValueError(
                f"preparation of version {self.version} reached a child that knows version {VERSION}: "
                "parent and child run different releases of procession-process; install one"
            )
        if fields.keys() != set(_FIELDS):
            raise TypeError(f"fields missing or unknown: {sorted(fields.keys() ^ set(_FIELDS))}")
        for name, value in fields.items():
            put(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} cannot be set: a Preparation is frozen; use replace()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name} cannot be deleted: a Preparation is frozen")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as a new dict."""
        return {name: getattr(self, name) for name in self.__slots__}

    def replace(self, **changes: Any) -> Preparation:
        """Return a copy with some fields changed. Raises TypeError for unknown fields."""
        return Preparation(**{**self.as_dict(), **changes})

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Preparation], tuple[dict[str, Any]]]:
        return _restore, (self.as_dict(),)

    def __repr__(self) -> str:
        shown = {name: value for name, value in self.as_dict().items() if name != "authkey"}
        return f"Preparation({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _restore(fields: dict[str, Any]) -> Preparation:
    return Preparation(**fields)


_extras: dict[str, tuple[str, Any]] = {}


def register_extra(name: str, hook: str, value: object = None) -> None:
    """Let every child that is not a fork call *hook* with *value* before its ``__main__`` is prepared.

    *hook* is ``"module:function"`` and must be importable in the child; *value* must be picklable, or be a
    callable without arguments that returns what is, asked at each start; if that returns None, the child does
    not call the hook. A second registration under *name* replaces the first. Children pass it on to theirs.
    Raises ValueError for a hook of another form.
    """
    if hook.count(":") != 1:
        raise ValueError(f"hook must be 'module:function', not {hook!r}")
    _extras[name] = (hook, value)


def unregister_extra(name: str) -> None:
    """Forget what was registered under *name*; nothing happens if nothing was."""
    _extras.pop(name, None)


def current_extras() -> dict[str, tuple[str, Any]]:
    """Return the extras for a child that is started now."""
    extras = {}
    for name, (hook, value) in _extras.items():
        if callable(value):
            value = value()
            if value is None:
                continue
        extras[name] = (hook, value)
    return extras


def run_extras(extras: dict[str, tuple[str, Any]]) -> None:
    """In a child: run the hooks in the order of their registration. Raises what they raise."""
    for name, (hook, value) in extras.items():
        _extras[name] = (hook, value)
        module, function = hook.split(":")
        found = __import__(module, fromlist=(function,))
        for part in function.split("."):
            found = getattr(found, part)
        found(value)  # type: ignore[operator]
