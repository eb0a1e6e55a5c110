"""The implementations that are measured side by side, and how each is loaded in a child.

Those that have the shape of ``multiprocessing`` are passed to the cases as their module; the others
through a thin adapter that has just the attributes that can be compared.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any, NamedTuple

from ._measure import Unsupported

REFERENCE = "stdlib"

_LEAF_ROWS = ("[!i]*",)  # All but import.*: there is no one package to import.
_POOL_ROWS = ("pool.*", "scale.pool.*", "import.*")


class Implementation(NamedTuple):
    """A name on the command line, what to import, and which rows it can take part in."""

    name: str
    module: str
    distribution: str = ""
    adapter: str = ""
    rows: tuple[str, ...] = ("*",)
    environment: tuple[tuple[str, str], ...] = ()
    needs: str = ""

    def takes_part_in(self, case: str) -> bool:
        """Whether the rows of this implementation include ``case``."""
        return any(fnmatchcase(case, pattern) for pattern in self.rows)

    def why_not(self) -> str:
        """Why it cannot be measured here; empty if it can."""
        for module in filter(None, (self.module, self.needs)):
            try:
                found = importlib.util.find_spec(module)
            except ModuleNotFoundError:
                found = None
            if found is None:
                return f"{module} is not installed"
        return ""

    def version(self) -> str:
        """The installed version; that of Python for the stdlib."""
        if not self.distribution:
            return "Python " + sys.version.split()[0]
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return "not installed as a distribution"


_TABLE = (
    Implementation(REFERENCE, "multiprocessing"),
    Implementation("procession", "procession", "procession", needs="procession_native._core"),
    Implementation(
        "procession-portable", "procession", "procession", environment=(("PROCESSION_NATIVE", "0"),)
    ),
    Implementation("billiard", "billiard", "billiard"),
    Implementation("multiprocess", "multiprocess", "multiprocess"),
    Implementation("faster-fifo", "faster_fifo", "faster-fifo", "fifo", ("queue.*", "scale.queue.*")),
    Implementation("loky", "loky", "loky", "executors", _POOL_ROWS),
    Implementation("mpire", "mpire", "mpire", "executors", _POOL_ROWS),
    Implementation("pebble", "pebble", "pebble", "executors", _POOL_ROWS),
    Implementation("joblib", "joblib", "joblib", "executors", _POOL_ROWS),
    # The stdlib once more: how far its ratios are from 1 is the noise of the run.
    Implementation("control", "multiprocessing"),
    Implementation(
        "leaves",
        "procession_core",
        "procession-core",
        "leaves",
        _LEAF_ROWS,
        needs="procession_native._core",
    ),
    Implementation(
        "leaves-portable",
        "procession_core",
        "procession-core",
        "leaves",
        _LEAF_ROWS,
        (("PROCESSION_NATIVE", "0"),),
    ),
    Implementation("futures", "concurrent.futures", "", "executors", ("pool.*", "scale.pool.*")),
)

IMPLEMENTATIONS: dict[str, Implementation] = {item.name: item for item in _TABLE}


def load(name: str) -> Any:
    """The object that a case gets as ``mp``.

    Raises:
        ImportError: if it is not installed.
    """
    implementation = IMPLEMENTATIONS[name]
    if implementation.adapter:
        adapter = importlib.import_module(f"bench.adapters.{implementation.adapter}")
        return adapter.load(name)
    return importlib.import_module(implementation.module)


def submodule(mp: Any, name: str) -> ModuleType:
    """``mp.<name>`` as a module.

    Raises:
        Unsupported: if the implementation has no such module.
    """
    if hasattr(type(mp), "submodule"):
        leaf: ModuleType = mp.submodule(name)
        return leaf
    if not isinstance(mp, ModuleType):
        raise Unsupported(f"{mp!r} has no module {name}")
    try:
        return importlib.import_module(f"{mp.__name__}.{name}")
    except ModuleNotFoundError as error:
        raise Unsupported(f"{mp.__name__} has no module {name}") from error
