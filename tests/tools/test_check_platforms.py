"""tools/check_platforms.py: which files count on which platform."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import check_platforms  # noqa: E402  (needs the path)


@pytest.mark.parametrize(
    ("text", "platform", "refused"),
    [
        ('raise ImportError("x needs POSIX")', "win32", True),
        ('raise ImportError("x needs POSIX")', "darwin", False),
        ('raise ImportError("x needs Linux")', "darwin", True),
        ('raise ImportError("x needs Linux")', "win32", True),
        ("import os", "win32", False),
        ("\n" * 60 + 'raise ImportError("x needs POSIX")', "win32", False),
    ],
)
def test_refusals(tmp_path: Path, text: str, platform: str, refused: bool) -> None:
    path = tmp_path / "module.py"
    path.write_text(text)
    assert check_platforms.refuses(path, platform) is refused


def test_a_package_that_refuses_does_not_count() -> None:
    inside = "packages/managers/src/procession_managers/_calls.py"
    assert check_platforms.belongs_elsewhere(inside, "win32")
    assert not check_platforms.belongs_elsewhere(inside, "darwin")


def test_unknown_platform_is_an_error() -> None:
    command = [sys.executable, str(ROOT / "tools/check_platforms.py"), "plan9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "unknown platforms ['plan9']" in done.stderr


def test_guards_let_linux_import_everything() -> None:
    refusing = [p for p in ROOT.glob("packages/*/src/*/**/*.py") if check_platforms.refuses(p, "win32")]
    assert refusing
    # Every refusal is conditional: it stands under an `if sys.platform`.
    for path in refusing:
        lines = path.read_text(encoding="utf-8").splitlines()
        at = next(i for i, line in enumerate(lines) if "needs POSIX" in line or "needs Linux" in line)
        assert lines[at - 1].startswith("if sys.platform "), path
