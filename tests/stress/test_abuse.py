"""Shared objects under kills, stops, forks, exec, closed descriptors, limits, crowds and signals."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("abuse.py")
SCENARIOS = (
    "pools_under_fire",
    "stopped",
    "closed_descriptors",
    "forks_in_threads",
    "grandchildren",
    "execs",
    "limits",
    "crowd",
    "signal_storm",
    "deaths_in_a_storm",
    "interrupts",
    "forged_handles",
)
pytestmark = [
    pytest.mark.stress,
    pytest.mark.native_only,
    pytest.mark.linux_only,
    pytest.mark.timeout(180),
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_abuse(scenario: str, sample: bool) -> None:
    for seed in (1,) if sample else (1, 2, 3):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(PROGRAM), scenario, str(seed), "1" if sample else str(seed)],
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, f"seed {seed}: {done.stdout[-500:]}\n{done.stderr[-3000:]}"
