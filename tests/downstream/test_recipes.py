"""Real programs under ``python -m procession``: what they print must be what they print under the standard library.

A recipe is a file of recipes/: a program whose output is the same on every run. Comments at its top say what it needs:
``# requires: black>=24`` (from PyPI, into a virtual environment of the recipe's own), ``# quick`` (part of the sample),
``# methods: fork spawn`` (run once with each, given as argument).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPES = Path(__file__).parent / "recipes"
SECONDS = 240


def header(recipe: Path, word: str) -> list[str]:
    found = re.search(rf"^# {word}:?(.*)$", recipe.read_text(encoding="utf-8"), re.M)
    return found[1].split() if found else []


def is_quick(recipe: Path) -> bool:
    return re.search(r"^# quick$", recipe.read_text(encoding="utf-8"), re.M) is not None


def runs() -> list[object]:
    found = []
    for recipe in sorted(RECIPES.glob("*.py")):
        for method in header(recipe, "methods") or [""]:
            found.append(pytest.param(recipe, method, id="-".join(filter(None, (recipe.stem, method)))))
    return found


@pytest.fixture(scope="session")
def interpreters(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], str]:
    return {}


def interpreter(made: dict[tuple[str, ...], str], requires: list[str], folder: Path) -> str:
    """Return a Python that has what is required, and procession by PYTHONPATH."""
    if not requires:
        return sys.executable
    key = tuple(requires)
    if key not in made:
        venv.create(folder, with_pip=True)
        python = str(folder / "bin/python")
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", *requires], capture_output=True, text=True, timeout=900
        )
        if done.returncode:
            pytest.skip(f"{' '.join(requires)} cannot be installed here: {done.stderr[-300:]}")
        made[key] = python
    return made[key]


def environment() -> dict[str, str]:
    import procession
    import procession_native

    places = {str(Path(module.__file__).parents[1]) for module in (procession, procession_native)}
    if (ROOT / "packages").is_dir() and str(ROOT) in str(procession.__file__):
        places |= {str(path) for path in (ROOT / "packages").glob("*/src")}
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sorted(places)),
        "PYTHONHASHSEED": "0",
        "COLUMNS": "80",
    }


@pytest.mark.linux_only
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("recipe", "method"), runs())
def test_output_is_the_same(
    recipe: Path,
    method: str,
    interpreters: dict[tuple[str, ...], str],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    if pytestconfig.getoption("--sample") and not is_quick(recipe):
        pytest.skip("not part of the sample")
    python = interpreter(interpreters, header(recipe, "requires"), tmp_path / "venv")
    outputs = []
    for start in ([], ["-m", "procession"]):
        folder = tmp_path / ("ours" if start else "theirs")
        folder.mkdir()
        done = subprocess.run(
            [python, *start, str(recipe), *filter(None, [method])],
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{' '.join(start) or 'the standard library'}: {done.stderr[-4000:]}"
        outputs.append(done.stdout.replace(str(folder), "FOLDER"))
    theirs, ours = outputs
    assert ours == theirs
    assert theirs.strip(), "the recipe prints nothing"
