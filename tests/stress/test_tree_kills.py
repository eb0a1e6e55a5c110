"""Whole process trees under SIGKILL, under every start method: no hang, nothing left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.stress,
    pytest.mark.native_only,
    pytest.mark.linux_only,
    pytest.mark.timeout(400),
]


def test_members_of_trees_are_killed(sample: bool) -> None:
    for seed in (1,) if sample else (1, 2, 3):
        done = subprocess.run(
            [
                sys.executable,
                str(Path(__file__).with_name("tree_kills.py")),
                str(seed),
                "3" if sample else "20",
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"seed {seed}: {done.stdout[-500:]}\n{done.stderr[-3000:]}"
        print(done.stdout, end="")
