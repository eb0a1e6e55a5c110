"""Every operation on the ring of a pipe, killed at every store."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(600)]


def test_killed_at_every_step() -> None:
    build = [sys.executable, str(ROOT / "packages" / "native" / "hatch_build.py"), "--faults"]
    built = subprocess.run(build, capture_output=True, text=True)
    if built.returncode:
        pytest.skip(f"the test build of the core cannot be made: {built.stderr[-300:]}")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("ring_steps.py"))],
        env={**os.environ, "PROCESSION_NATIVE_FAULTS": "1"},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    steps = json.loads(done.stdout.splitlines()[-1])
    print(f"{sum(steps.values())} kills: {steps}")
    assert len(steps) == 17 and all(steps.values()), steps


def test_no_store_escapes_the_fault_points() -> None:
    path = ROOT / "packages" / "native" / "csrc" / "ring.c"
    escaped = [
        f"{path.name}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"(?<![\w])(atomic_store|\.opaque|->opaque\s*=)", line)
    ]
    assert not escaped, "\n".join(escaped)
