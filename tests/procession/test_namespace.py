"""The lazy namespace: what importing costs, and that the generated files are those of the generator."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import procession
from procession._names import MODULES, NAMES

ROOT = Path(__file__).resolve().parents[2]

IMPORT = """
import os, sys, threading
before = set(sys.modules), os.listdir("/proc/self/fd"), threading.active_count()
import procession
new = set(sys.modules) - before[0]
assert {name for name in new if name.startswith("procession_")} == set(), new
assert {name.split(".")[0] for name in new} == {"procession", "__future__"}, new
assert os.listdir("/proc/self/fd") == before[1]
assert threading.active_count() == before[2]
"""


@pytest.mark.linux_only
def test_import_loads_no_leaf_and_starts_nothing() -> None:
    subprocess.run([sys.executable, "-c", IMPORT], check=True, timeout=60)


@pytest.mark.skipif(not (ROOT / "tools/gen_namespace.py").exists(), reason="needs the repository")
def test_generated_files_are_up_to_date() -> None:
    tool = str(ROOT / "tools/gen_namespace.py")
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(NAMES))
def test_name_is_that_of_its_module(name: str) -> None:
    module = importlib.import_module(NAMES[name])
    if not getattr(module, "__all__", True):
        pytest.skip(f"{NAMES[name]} ships nothing yet")
    assert getattr(procession, name) is getattr(module, name)


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_attributes(name: str) -> None:
    assert getattr(procession, name) is importlib.import_module(f"procession.{name}")


def test_all_is_what_the_table_says_and_dir_shows_it() -> None:
    assert procession.__all__ == tuple(NAMES)
    assert set(NAMES) | set(MODULES) <= set(dir(procession))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'procession' has no attribute 'Processs'"):
        procession.Processs  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "path", sorted(Path(procession.__file__).parent.rglob("*.py")), ids=lambda path: path.stem
)
def test_every_module_has_a_true_list_of_names(path: Path) -> None:
    parts = path.relative_to(Path(procession.__file__).parent.parent).with_suffix("").parts
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    assert set(module.__all__) <= set(dir(module))
