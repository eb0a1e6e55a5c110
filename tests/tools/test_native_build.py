"""packages/native/hatch_build.py, as a script and as a build hook, on a core of two small files."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "packages" / "native"
sys.path.insert(0, str(NATIVE))

import hatch_build  # noqa: E402  (needs the path)

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


def test_a_wheel_for_where_the_core_is_not_built_at_all(folder: Folder) -> None:
    wheel = folder.wheel(PROCESSION_NATIVE_TARGET="portable", PROCESSION_NATIVE="require")
    assert wheel.name.endswith("-py3-none-macosx_10_9_x86_64.macosx_11_0_arm64.win32.win_amd64.win_arm64.whl")
    assert not [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(".so")]


def test_an_unknown_target_is_named_with_the_known_ones(folder: Folder) -> None:
    done = folder.run("hatch_build.py", PROCESSION_NATIVE_TARGET="vax-vms")
    assert done.returncode == 2
    assert "PROCESSION_NATIVE_TARGET='vax-vms' is not one of x86_64-linux-gnu.2.28, " in done.stderr


def test_a_target_without_its_compiler_is_an_error(folder: Folder) -> None:
    pytest.importorskip("hatchling")
    if importlib.util.find_spec("ziglang"):
        pytest.skip("zig is installed")
    target = "x86_64-linux-musl"
    done = folder.run("-m", "hatchling", "build", "-t", "wheel", PROCESSION_NATIVE_TARGET=target)
    assert done.returncode != 0
    assert "pip install ziglang" in done.stderr


def test_macos_has_the_portable_variant_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build.sys, "platform", "darwin")
    monkeypatch.delenv("PROCESSION_NATIVE_UNTESTED", raising=False)
    assert "never run on macOS; PROCESSION_NATIVE_UNTESTED=1" in (hatch_build.unsupported() or "")
    monkeypatch.setenv("PROCESSION_NATIVE_UNTESTED", "1")
    assert hatch_build.unsupported() is None


def test_zero_leaves_the_core_out(folder: Folder) -> None:
    assert folder.wheel(PROCESSION_NATIVE="0").name.endswith("-py3-none-any.whl")
