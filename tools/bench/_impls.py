"""The implementations that are measured side by side: what each is and which rows it can take part in."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from fnmatch import fnmatchcase
from typing import NamedTuple

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
