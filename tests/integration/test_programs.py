"""Small programs as people write them do the same with the standard library, with its name taken over, and with ours
imported in its place.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


def run(arguments: list[str], folder: Path) -> tuple[list[str], list[str], int]:
    """Return the lines of both streams, those of errors without where they come from, and the exit code."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    errors = [line for line in done.stderr.splitlines() if line and not line.startswith((" ", "Traceback"))]
    return done.stdout.splitlines(), sorted(errors), done.returncode


@pytest.mark.linux_only
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("program", PROGRAMS, ids=[path.stem for path in PROGRAMS])
def test_same_as_with_the_standard_library(program: Path, start_method: str, tmp_path: Path) -> None:
    pytest.importorskip("procession", reason="needs the meta-distribution")
    text = program.read_text()
    (tmp_path / program.name).write_text(text)
    changed = re.sub(
        r"^import multiprocessing$", "import procession as multiprocessing", text, flags=re.MULTILINE
    )
    changed = re.sub(r"^(import|from) multiprocessing\b", r"\1 procession", changed, flags=re.MULTILINE)
    (tmp_path / "ours.py").write_text(changed)
    theirs = run([program.name, start_method], tmp_path)
    assert theirs[2] == 0 and theirs[0], theirs
    assert run(["-m", "procession", program.name, start_method], tmp_path) == theirs
    assert run(["ours.py", start_method], tmp_path) == theirs
