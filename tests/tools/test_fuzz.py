"""tools/fuzz.py: its harnesses compile, run, and it says what they found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "fuzz.py"
CSRC = ROOT / "packages" / "native" / "csrc"

pytestmark = [pytest.mark.linux_only, pytest.mark.slow, pytest.mark.timeout(300)]


def have_libfuzzer(folder: Path) -> bool:
    if not shutil.which("clang"):
        return False
    source = folder / "probe.c"
    source.write_text(
        "int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d == 0 && n; }\n"
    )
    command = ["clang", "-fsanitize=fuzzer,address", str(source), "-o", str(folder / "probe")]
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize("name", [path.stem for path in sorted(CSRC.glob("tests/fuzz_*.c"))])
def test_a_harness_runs_and_finds_nothing(name: str, tmp_path: Path) -> None:
    if not have_libfuzzer(tmp_path):
        pytest.skip("needs clang with libFuzzer")
    done = subprocess.run(
        [sys.executable, str(TOOL), "--minutes", "0.03", "--seed", "1", name],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing found" in done.stdout
    assert "seed 1" in done.stdout


def test_an_unknown_harness_is_an_error() -> None:
    done = subprocess.run([sys.executable, str(TOOL), "nonsense"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "no harness found" in done.stderr


def test_a_missing_clang_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(TOOL), "frame"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"CLANG": "/does/not/exist", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 1
    assert "/does/not/exist is not installed" in done.stderr
