"""packages/native/hatch_build.py, as a script and as a build hook, on a core of two small files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "packages" / "native"

pytestmark = [
    pytest.mark.linux_only,
    pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="needs a C compiler"),
]


class Folder:
    """A copy of packages/native whose core needs no Python headers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = root / "src" / "procession_native"
        self.package.mkdir(parents=True)
        (self.package / "__init__.py").write_text("")
        for name in ("hatch_build.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(NATIVE / name, root / name)
        self.write("a.h", "int f(void);\n")
        self.write("a.c", '#include "a.h"\nint f(void) { return 1; }\n')
        self.write("part/b.c", '#include "a.h"\nint g(void);\nint g(void) { return f(); }\n')
        self.write("tests/main.c", "#error not a part of the core\n")

    def write(self, path: str, text: str) -> None:
        target = self.root / "csrc" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            k: v for k, v in os.environ.items() if k not in ("PROCESSION_NATIVE", "CFLAGS", "LDFLAGS")
        }
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.root,
            env={**environment, "CC": "cc" if shutil.which("cc") else "gcc", **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def script(self, *options: str, **variables: str) -> str:
        done = self.run("hatch_build.py", *options, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wheel(self, **variables: str) -> Path:
        pytest.importorskip("hatchling")
        done = self.run("-m", "hatchling", "build", "-t", "wheel", "-d", "out", **variables)
        assert done.returncode == 0, done.stderr
        (wheel,) = (self.root / "out").glob("*.whl")
        return wheel


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def modules(folder: Folder) -> list[str]:
    return sorted(p.name.partition(".")[0] for p in folder.package.glob("*.so"))


def test_script_builds_in_place_and_only_what_changed(folder: Folder) -> None:
    assert not folder.script().endswith("up to date")
    assert modules(folder) == ["_core"]
    assert folder.script().endswith("up to date")
    objects = {p.name: p.stat().st_mtime_ns for p in folder.root.glob("build/*/*.o")}
    assert sorted(objects) == ["a.o", "part-b.o"]
    later = max(objects.values()) + 10**9
    os.utime(folder.root / "csrc/a.c", ns=(later, later))
    assert not folder.script().endswith("up to date")
    changed = {p.name for p in folder.root.glob("build/*/*.o") if p.stat().st_mtime_ns != objects[p.name]}
    assert changed == {"a.o"}


def test_other_flags_compile_again(folder: Folder) -> None:
    folder.script()
    assert not folder.script(CFLAGS="-DX").endswith("up to date")


def test_debug_build_takes_the_place_and_gives_it_back(folder: Folder) -> None:
    place = folder.package / folder.script().rpartition("/")[2]
    normal = place.read_bytes()
    folder.script("--debug")
    assert place.read_bytes() != normal
    folder.script()
    assert place.read_bytes() == normal


def test_faults_build_is_a_module_of_its_own(folder: Folder) -> None:
    folder.write("c.c", "#ifndef PROCESSION_FAULTS\n#error only for faults\n#endif\nint h;\n")
    folder.script("--faults")
    assert modules(folder) == ["_core_faults"]


def test_script_tells_the_compiler_error(folder: Folder) -> None:
    folder.write("c.c", "#error deliberate\n")
    done = folder.run("hatch_build.py")
    assert done.returncode == 1
    assert "deliberate" in done.stderr


def test_no_source_is_no_error(folder: Folder) -> None:
    shutil.rmtree(folder.root / "csrc")
    assert folder.script() == "nothing built: csrc holds no C file"
    assert folder.run("hatch_build.py", PROCESSION_NATIVE="require").returncode == 1


def test_wheel_holds_the_core_and_nothing_built_in_place(folder: Folder) -> None:
    folder.script("--faults")
    wheel = folder.wheel()
    assert "none-any" not in wheel.name
    names = [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".so")]
    assert len(names) == 1
    assert names[0].startswith("procession_native/_core.")


@pytest.mark.parametrize("compiler", ["/bin/false", "/does/not/exist"])
def test_no_compiler_makes_a_pure_wheel(folder: Folder, compiler: str) -> None:
    wheel = folder.wheel(CC=compiler)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".so")]


def test_require_makes_a_missing_compiler_an_error(folder: Folder) -> None:
    pytest.importorskip("hatchling")
    done = folder.run(
        "-m", "hatchling", "build", "-t", "wheel", CC="/does/not/exist", PROCESSION_NATIVE="require"
    )
    assert done.returncode != 0
    assert "PROCESSION_NATIVE=require, but the C core cannot be built" in done.stderr


def test_zero_leaves_the_core_out(folder: Folder) -> None:
    assert folder.wheel(PROCESSION_NATIVE="0").name.endswith("-py3-none-any.whl")
