"""Build the distributions of this tree as wheels and install them into the running Python's environment.

Usage: ``python tools/install_local.py [--only NAME] [--wheels DIR]``.  Without --only every distribution is
installed; with it, NAME and what it declares as dependencies, nothing else.  The installer runs without an
index: the family needs nothing from outside, and a dependency that is used but not declared cannot come in
unseen.  Needs hatchling and uv.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "packages"


def all_distributions() -> list[str]:
    """The names of the folders under packages/ that are distributions."""
    return sorted(path.parent.name for path in PACKAGES.glob("*/pyproject.toml"))


def with_dependencies(name: str) -> list[str]:
    """``name`` and, transitively, the distributions of the family that its metadata asks for."""
    found: list[str] = []
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.append(one)
        project = tomllib.loads((PACKAGES / one / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        waiting += [r.partition("==")[0].removeprefix("procession-") for r in project.get("dependencies", [])]
    return sorted(found)


def build_wheel(name: str, directory: Path) -> Path:
    """Build one wheel with hatchling, in this process."""
    from hatchling.builders.wheel import WheelBuilder

    return Path(
        next(WheelBuilder(str(PACKAGES / name)).build(directory=str(directory), versions=["standard"]))
    )


def uninstall_family() -> None:
    """Remove what an earlier run installed, so that nothing undeclared stays behind."""
    names = ["procession" if n == "procession" else f"procession-{n}" for n in all_distributions()]
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "uninstall", "--quiet", "--python", sys.executable, *names],
        check=True,
        stderr=subprocess.DEVNULL,
    )


def install(names: list[str], directory: Path) -> None:
    """Build the wheels of ``names`` into ``directory`` and install exactly those."""
    wheels = [build_wheel(name, directory) for name in names]
    uninstall_family()
    subprocess.run(
        [
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "--quiet",
            "--python",
            sys.executable,
            "--no-index",
            "--reinstall",
            *map(str, wheels),
        ],
        check=True,
    )
    for wheel in wheels:
        if wheel.name.startswith("procession_native-"):
            print(f"installed {len(wheels)} distributions of this tree; the core is {wheel.name}", flush=True)


def main(arguments: list[str]) -> int:
    """The command: build and install."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", metavar="NAME", choices=all_distributions(), help="this one and its dependencies"
    )
    parser.add_argument("--wheels", metavar="DIR", type=Path, help="keep the wheels there")
    options = parser.parse_args(arguments)
    names = with_dependencies(options.only) if options.only else all_distributions()
    if options.wheels:
        install(names, options.wheels)
    else:
        with tempfile.TemporaryDirectory(prefix="procession-wheels-") as directory:
            install(names, Path(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
