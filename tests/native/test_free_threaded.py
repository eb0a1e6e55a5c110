"""Which variant a Python takes that is built to run without the GIL; told to this one, which is not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.abiflags = "t"
sys._is_gil_enabled = lambda: {gil}
import procession_native
print(procession_native.build_info())
"""
CASES = [
    ("", False, "portable, because this Python runs without the GIL"),
    ("auto", True, "portable, because this Python runs without the GIL"),
    ("0", True, "portable, because PROCESSION_NATIVE=0"),
    ("1", True, "native"),
    ("require", True, "native"),
    ("1", False, "portable"),
]


def run(asked: str, gil: bool) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PROCESSION_NATIVE": asked}
    program = PROGRAM.format(gil=gil)
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )


@pytest.mark.native_only
@pytest.mark.parametrize(("asked", "gil", "begins"), CASES)
def test_variant_without_the_gil(asked: str, gil: bool, begins: str) -> None:
    done = run(asked, gil)
    assert done.stdout.startswith(begins), done.stderr


@pytest.mark.native_only
def test_a_core_that_is_asked_for_and_has_no_gil_is_an_error() -> None:
    done = run("require", False)
    assert done.returncode == 1 and "needs the GIL, which PYTHON_GIL=0 or -X gil=0 keeps off" in done.stderr
