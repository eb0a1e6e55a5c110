"""Fetching what a name stands for, when it is first used."""

from __future__ import annotations

from ._names import MODULES, MODULES_BY_NAME, NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("load", "lookup")

_MODULES = frozenset(MODULES)


def load(module: str) -> Any:
    """Import *module* and return it. Raises what the import raises."""
    return __import__(module, fromlist=("__name__",))


def lookup(name: str) -> Any:
    """Return what *name* is in the package ``procession``.

    Raises AttributeError for what it does not have, and what importing its distribution raises.
    """
    module = NAMES.get(name)
    if module is not None:
        return getattr(load(module), name)
    name = MODULES_BY_NAME.get(name, name)
    if name in _MODULES:
        return load(f"procession.{name}")
    raise AttributeError(f"module 'procession' has no attribute {name!r}")
