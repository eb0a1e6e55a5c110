"""tools/soak: its units run, account for what they did, and leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.linux_only, pytest.mark.native_only, pytest.mark.timeout(300)]


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.soak", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_a_short_soak() -> None:
    done = soak("--minutes", "0.1", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert "seed 7: operations " in last
    assert last.endswith("lost 0, leaked 0")


def test_one_unit() -> None:
    done = soak("--minutes", "0.01", "--seed", "7", "--units", "segments")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[1].startswith("segments: operations ")


def test_an_unknown_unit_is_an_error() -> None:
    done = soak("--units", "nonsense")
    assert done.returncode == 2
    assert "unknown units ['nonsense']" in done.stderr
