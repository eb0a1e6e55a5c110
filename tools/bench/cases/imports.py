"""import.*: what importing costs, each time in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from time import perf_counter
from typing import Any

from bench._measure import Sample, Scale, case, check, median

_FIND = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for item in pkgutil.iter_modules(package.__path__):
    if item.name.startswith("_"):
        continue
    name = f"{sys.argv[1]}.{item.name}"
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    print(name)
"""

_DIRTY = """
def dirty():
    for line in open("/proc/self/smaps_rollup"):
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
dirty()
before = dirty()
{statement}
print(dirty() - before)
"""


def _python(code: str, *arguments: str) -> str:
    run = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return run.stdout


def _name(mp: Any) -> str:
    name: str = getattr(mp, "module", None) or mp.__name__
    return name


def _submodules(name: str) -> list[str]:
    """Every public submodule that can be imported on this platform."""
    found = _python(_FIND, name).split()
    check(found, f"{name} has no importable submodule")
    return found


def _seconds(code: str) -> float:
    began = perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    _, status = os.waitpid(pid, 0)
    seconds = perf_counter() - began
    check(status == 0, f"{code!r} ended with status {status}")
    return seconds


def _net(code: str, scale: Scale) -> Sample:
    """Milliseconds of ``code`` above those of an interpreter that does nothing, runs interleaved."""
    pairs = []
    _seconds(code)
    for _ in range(scale.pick(9, 3)):
        bare = _seconds("pass")
        pairs.append((_seconds(code), bare))
    # The differences of medians, not the median of differences: a stall hits one run, not a pair.
    net = median([full for full, _ in pairs]) - median([bare for _, bare in pairs])
    return Sample(max(net, 1e-5) * 1e3, "ms", interpreter_ms=median([bare for _, bare in pairs]) * 1e3)


@case("import.bare")
def bare(mp: Any, scale: Scale) -> Sample:
    """Import the package alone."""
    return _net(f"import {_name(mp)}", scale)


@case("import.all")
def everything(mp: Any, scale: Scale) -> Sample:
    """Import the package and every public submodule it has."""
    name = _name(mp)
    modules = _submodules(name)
    sample = _net("import " + ", ".join([name, *modules]), scale)
    sample.extras["modules"] = len(modules)
    return sample


@case("import.mem")
def memory(mp: Any, scale: Scale) -> Sample:
    """The private dirty memory that import.all adds."""
    name = _name(mp)
    statement = "import " + ", ".join([name, *_submodules(name)])
    values = [float(_python(_DIRTY.format(statement=statement))) for _ in range(scale.pick(3, 1))]
    return Sample(median(values), "KB")
