"""Install one distribution with what it declares and nothing else, import all of it, run its tests.

Usage: ``python tools/isolated.py isolated-NAME [pytest arguments]``; the name is that of the tox environment.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import install_local

ROOT = install_local.ROOT

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
count = 0
for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    words = found.name.rpartition(".")[2].strip("_").split("_")
    # A sibling of another platform need not import here, and a __main__ would run.
    if {"windows", "macos", "main", "portable"} & set(words):
        continue
    importlib.import_module(found.name)
    count += 1
print(f"{package.__name__}: {count} modules import with declared dependencies alone")
"""

NO_TESTS = 5


def main(arguments: list[str]) -> int:
    """The command: install, import, test."""
    if not arguments:
        print((__doc__ or "").strip(), file=sys.stderr)
        return 2
    name = arguments[0].removeprefix("isolated-")
    if name not in install_local.all_distributions():
        print(
            f"{name!r} is not a distribution; there are {install_local.all_distributions()}", file=sys.stderr
        )
        return 2
    status = install_local.main(["--only", name])
    if status:
        return status
    module = "procession" if name == "procession" else f"procession_{name}"
    # -I: neither the current folder nor PYTHONPATH may supply what is not declared.
    status = subprocess.run([sys.executable, "-I", "-c", IMPORT_ALL, module], cwd=ROOT).returncode
    if status:
        return status
    tests = ROOT / "tests" / name
    if not tests.is_dir():
        print(f"tests/{name} does not exist yet")
        return 0
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PROCESSION_ISOLATED"] = name
    command = [sys.executable, "-m", "pytest", *(arguments[1:] or ["--quick"]), str(tests)]
    status = subprocess.run(command, cwd=ROOT, env=environment).returncode
    return 0 if status == NO_TESTS else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
