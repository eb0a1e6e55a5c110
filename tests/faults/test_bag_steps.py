"""Every operation on the bag of a pipe, killed at every store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(300)]


def test_killed_at_every_step() -> None:
    build = [sys.executable, str(ROOT / "packages" / "native" / "hatch_build.py"), "--faults"]
    built = subprocess.run(build, capture_output=True, text=True)
    if built.returncode:
        pytest.skip(f"the test build of the core cannot be made: {built.stderr[-300:]}")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("bag_steps.py"))],
        env={**os.environ, "PROCESSION_NATIVE_FAULTS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    steps = json.loads(done.stdout.splitlines()[-1])
    assert len(steps) == 8 and all(count > 5 for count in steps.values()), steps
