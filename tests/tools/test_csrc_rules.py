"""What the C core promises about itself and a compiler does not check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "packages" / "native" / "csrc"
FILES = sorted(p for p in SOURCES.glob("*.[ch]"))


def code(path: Path) -> str:
    """The file without comments and string literals."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_shared_words_are_written_by_the_macros_only(path: Path) -> None:
    # Every store is a fault point only if all go through shared.h; the kernel gets a word's address for futexes.
    if path.name == "shared.h":
        return
    text = re.sub(r"(?:syscall\(SYS_futex,|os_sync_)[^;]*;", "", code(path))
    found = re.findall(r".*(?:->|\.)\s*opaque\b.*", text)
    assert not found, f"{path.name}: use the SH_ macros: {found}"


@pytest.mark.parametrize("path", [p for p in FILES if not p.name.startswith("os")], ids=lambda p: p.name)
def test_only_the_platform_layer_names_a_system(path: Path) -> None:
    named = re.findall(
        r"__linux__|__APPLE__|<linux/[^>]*>|<sys/(?:syscall|eventfd|random|event|prctl|sysinfo)\.h>|\bsyscall\(|\bMADV_\w+",
        code(path),
    )
    assert not named, f"{path.name}: ask os.h, not the system: {named}"


PRIVATE = re.compile(
    r"repairs|spin_limit|window\[|bells\.stop|passed|armed|&pass\b|&in_place\b|in_transaction|&mappings\b|->mapped\b|&bits\[|&noted\["
)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_other_atomics_are_on_private_memory(path: Path) -> None:
    # The contents of shared values are the user's: a death leaves each of them whole, and nothing else to repair.
    if path.name in ("shared.h", "py_cells.h", "py_value.c", "py_array.c"):
        return
    calls = re.findall(r"(?:__atomic_\w+|\batomic_(?:store|fetch|exchange|compare)\w*)\(([^;]*);", code(path))
    strange = [call for call in calls if not PRIVATE.search(call)]
    assert not strange, f"{path.name}: an atomic access that is not one of the SH_ macros: {strange}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_only_py_files_see_python(path: Path) -> None:
    if path.name.startswith("py_"):
        return
    assert "Python.h" not in code(path) and not re.search(r"\bPy[A-Z]\w*\(|\bPy_[A-Z]\w*", code(path)), (
        path.name
    )


@pytest.mark.parametrize("path", [p for p in FILES if p.name.startswith("py_")], ids=lambda p: p.name)
def test_python_is_not_touched_under_the_arena_lock(path: Path) -> None:
    for held in re.findall(r"\barena_begin\((.*?)\barena_end\(", code(path), flags=re.DOTALL):
        assert not re.search(r"\bPy\w*\s*\(|\bPy_(?:BEGIN|END)\w*", held), f"{path.name}: {held}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_robust_lists_are_left_to_the_c_library(path: Path) -> None:
    assert not re.search(r"set_robust_list|PTHREAD_MUTEX_ROBUST", code(path)), path.name
