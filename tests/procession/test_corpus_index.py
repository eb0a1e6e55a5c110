"""The main job, on a small folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN_WITH = Path(__file__).resolve().parents[1] / "examples" / "run_with.py"
PROGRAM = Path(__file__).resolve().parents[2] / "docs/examples/corpus_index.py"


@pytest.mark.skipif(not PROGRAM.exists(), reason="needs the repository")
def test_all_runs_agree(tmp_path: Path, start_method: str) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(f"some words and number{number}\n" * (number + 1))
    command = [sys.executable, str(RUN_WITH), start_method, str(PROGRAM), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("yes\n") == 3
    assert "procession       [##############################] 100%" in done.stderr


@pytest.mark.skipif(not PROGRAM.exists(), reason="needs the repository")
def test_empty_folder_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path)], capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 2
