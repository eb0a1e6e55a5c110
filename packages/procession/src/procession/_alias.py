"""``multiprocessing`` as another name of this package, in this process and in those that it launches.

A finder in front of ``sys.meta_path`` answers for ``multiprocessing`` and everything below it with our modules
themselves, so that there is one copy of each under two names. Children that are copies of this process (fork) have
it anyway; the others get it from a hook of the launch, before their ``__main__`` is imported.
"""

from __future__ import annotations

import sys

from procession_core._logging import name_logger

from ._guests import is_guest, wardrobe
from ._lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any

__all__ = ("ALIAS", "OURS", "AlreadyInUseError", "install", "install_in_child", "installed")

ALIAS = "multiprocessing"
OURS = "procession"


class AlreadyInUseError(RuntimeError):
    """The standard library's package is in use in this process and cannot be replaced any more."""


class _Loader:
    """Gives the import system a module that exists already."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has just written the alias's spec over the module's own.
        module.__spec__ = self._spec

    def get_code(self, fullname: str) -> CodeType | None:
        """What ``runpy`` asks for, as a file's loader has it. Raises ImportError: the alias is no program."""
        if fullname == f"{ALIAS}.__main__":
            raise ImportError(
                f"No module named {fullname}; {ALIAS!r} is a package and cannot be directly executed",
                name=fullname,
            )
        loader: Any = self._spec.loader if self._spec is not None else None
        code: CodeType | None = loader.get_code(self._module.__name__) if loader is not None else None
        return code


class _Finder:
    """Answers for ``multiprocessing`` and its submodules, except for packages that must keep the original."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != ALIAS and not fullname.startswith(ALIAS + "."):
            if is_guest(fullname):
                return wardrobe.dress(fullname, path, target, real=True)
            return wardrobe.dress(fullname, path, target, real=False) if wardrobe.real else None
        if wardrobe.real:
            return wardrobe.dress(fullname, path, target, real=True)
        from importlib.machinery import ModuleSpec

        ours = OURS + fullname[len(ALIAS) :]
        try:
            module = load(ours)
        except ModuleNotFoundError as error:
            if error.name == ours:
                raise _missing(fullname)
            raise
        loader: Any = _Loader(module)
        origin = getattr(module, "__file__", None)
        return ModuleSpec(fullname, loader, origin=origin, is_package=hasattr(module, "__path__"))


def _missing(fullname: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"No module named {fullname!r} ({ALIAS} is an alias of {OURS} here, which has none of that name)",
        name=fullname,
    )


_finder = _Finder()


def installed() -> bool:
    """Say whether ``multiprocessing`` is an alias of this package in this process."""
    return _finder in sys.meta_path


def install() -> None:
    """From now on ``import multiprocessing`` gives this package, here and in all processes that it launches.

    Interpreters that the program starts itself (``subprocess``) are not concerned. Calling it again does nothing.

    Raises AlreadyInUseError (a RuntimeError) if modules that are already imported use the standard library's package:
    call it before importing them, or run the program with ``python -m procession``.
    """
    if installed():
        return
    users = _users()
    if users:
        raise AlreadyInUseError(
            f"the standard library's {ALIAS} is already in use by {', '.join(users)}; call procession.install() before "
            "importing what uses it, or run the program with `python -m procession`"
        )
    _put(None)
    load("procession_process").register_extra(ALIAS, f"{__name__}:install_in_child")


def _put(_: object) -> None:
    for name in [name for name in sys.modules if name == ALIAS or name.startswith(ALIAS + ".")]:
        del sys.modules[name]
    sys.meta_path.insert(0, _finder)
    name_logger(ALIAS)
    __import__(ALIAS)


def install_in_child(_: object) -> None:
    """Do in a child that was not forked what ``install()`` did in its parent."""
    if not installed():
        _put(None)


def _users() -> list[str]:
    """Return the names of modules that hold something of the real package, or [] if it can still be replaced."""
    loaded = {name: m for name, m in sys.modules.items() if name == ALIAS or name.startswith(ALIAS + ".")}
    if not loaded:
        return []
    modules = {id(module) for module in loaded.values()}
    users = []
    for name, module in list(sys.modules.items()):
        if name in loaded or name == OURS or name.startswith((OURS + ".", OURS + "_")):
            continue
        for value in list(getattr(module, "__dict__", {}).values()):
            home = getattr(value, "__module__", None) if isinstance(value, type) or callable(value) else None
            if id(value) in modules or (isinstance(home, str) and home in loaded):
                users.append(name)
                break
    process: Any = loaded.get(ALIAS + ".process")
    if process is not None and process.active_children():
        users.append("its own children, which are running")
    return users
