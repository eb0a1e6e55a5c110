"""Forks of a process whose threads are at work: no lock of ours that a thread held is held for ever in a child."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("fork_threads.py")


@pytest.mark.stress
@pytest.mark.linux_only
@pytest.mark.timeout(900)
def test_forked_beside_threads(sample: bool) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "30" if sample else "600"], capture_output=True, text=True, timeout=880
    )
    assert done.stdout == "[] [] [] True\n", f"{done.stdout}\n{done.stderr[-6000:]}"
