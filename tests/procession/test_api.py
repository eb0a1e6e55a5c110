"""Every public name and signature of the newest documentation, by tools/check_api.py."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/check_api.py"
pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="needs the repository")


def test_nothing_is_missing_or_different() -> None:
    done = subprocess.run([sys.executable, str(TOOL)], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr


def test_differences_are_found() -> None:
    spec = importlib.util.spec_from_file_location("check_api", TOOL)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def ours(first, second=2, *, extra=None): ...

    assert tool.compare(ours, "(first, second=2)", bound=True) is None
    assert "number" in tool.compare(ours, "(second=2, first)".replace("first", "first=None"), bound=True)
    assert "no parameter 'third'" in tool.compare(ours, "(first, third)", bound=True)
    assert "by default" in tool.compare(ours, "(first, second=3)", bound=True)
    assert "without default" in tool.compare(ours, "()", bound=True)
