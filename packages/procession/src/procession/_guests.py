"""Packages that keep the standard library's ``multiprocessing`` although it is an alias of ours.

They replace that package's machinery, piece by piece, and start interpreters of their own, which are no processes of
our tree and have the standard library: both sides must have the same. While one of their modules is executed, the
names in ``sys.modules`` are the standard library's; what it imports in turn from elsewhere sees ours again.
"""

from __future__ import annotations

import builtins
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ("GUESTS", "Wardrobe", "is_guest", "wardrobe")

GUESTS = ("loky", "joblib.externals.loky")


def is_guest(fullname: str) -> bool:
    """Say whether module *fullname* belongs to one of those packages."""
    return any(fullname == guest or fullname.startswith(guest + ".") for guest in GUESTS)


class Wardrobe:
    """Holds the set of modules called *name* that is not in ``sys.modules`` now."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._hanging: dict[str, ModuleType] = {}
        self.real = False
        """Whether those of the standard library are in ``sys.modules`` now."""

    def change(self, real: bool) -> bool:
        """Put the wanted set into ``sys.modules``; return which one was there."""
        before = self.real
        if before is not real:
            worn = {n: m for n, m in sys.modules.items() if n == self._name or n.startswith(self._name + ".")}
            for name in worn:
                del sys.modules[name]
            sys.modules.update(self._hanging)
            self._hanging = worn
            self.real = real
        return before

    def dress(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None, real: bool
    ) -> ModuleSpec | None:
        """Return the spec of *fullname* with a loader that executes the module among the wanted set."""
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = _Loader(spec.loader, self, real)
            spec.loader = loader
        return spec


class _Loader:
    """Another loader, around whose work the modules are changed."""

    def __init__(self, loader: Any, wardrobe: Wardrobe, real: bool) -> None:
        self._loader = loader
        self._wardrobe = wardrobe
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if self._real:
            # So that the import statements in its functions, which run later, find the same modules.
            module.__dict__["__builtins__"] = {**vars(builtins), "__import__": self._import}
        before = self._wardrobe.change(self._real)
        try:
            self._loader.exec_module(module)
        finally:
            self._wardrobe.change(before)

    def _import(self, name: str, *arguments: Any, **named: Any) -> Any:
        before = self._wardrobe.change(True)
        try:
            return builtins.__import__(name, *arguments, **named)
        finally:
            self._wardrobe.change(before)


wardrobe = Wardrobe("multiprocessing")
