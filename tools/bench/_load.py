"""How an implementation is loaded in the process that measures it.

Those that have the shape of ``multiprocessing`` are passed to the cases as their module; the others
through a thin adapter that has just the attributes that can be compared.

Imports nothing: what the benchmark itself loads there, each fork copies, and its handlers after a fork run in each
child. See the README.
"""

from __future__ import annotations

import sys

from bench._measure import Unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def module(name: str) -> Any:
    """Import the module *name* and return it."""
    __import__(name)
    return sys.modules[name]


def load(name: str, source: str, adapter: str) -> Any:
    """Return the object that a case gets as ``mp``: the module *source*, or what *adapter* makes of *name*.

    Raises:
        ImportError: if it is not installed.
    """
    if adapter:
        return module(f"bench.adapters.{adapter}").load(name)
    return module(source)


def submodule(mp: Any, name: str) -> ModuleType:
    """``mp.<name>`` as a module.

    Raises:
        Unsupported: if the implementation has no such module.
    """
    if hasattr(type(mp), "submodule"):
        leaf: ModuleType = mp.submodule(name)
        return leaf
    if not isinstance(mp, type(sys)):
        raise Unsupported(f"{mp!r} has no module {name}")
    try:
        found: ModuleType = module(f"{mp.__name__}.{name}")
    except ModuleNotFoundError as error:
        raise Unsupported(f"{mp.__name__} has no module {name}") from error
    return found
