"""Every operation on queues, killed at every store: nothing is lost but what was in the killed hands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "packages" / "native" / "csrc"
pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def fault_build() -> dict[str, str]:
    """The environment in which the core is the build that dies on request."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "packages" / "native" / "hatch_build.py"), "--faults"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"the test build of the core cannot be made: {done.stderr[-300:]}")
    return {**os.environ, "PROCESSION_NATIVE_FAULTS": "1"}


def test_killed_at_every_step(fault_build: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("queue_steps.py"))],
        env=fault_build,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{sum(result['steps'].values())} kills:")
    for name, steps in result["steps"].items():
        print(f"  {steps:4} {name}")
    assert all(steps > 0 for steps in result["steps"].values())
    ours: set[str] = set()
    for path in SOURCES.glob("queue*.c"):
        ours.update(re.findall(r'FAULT_BRANCH\("([^"]+)"\)', path.read_text()))
    never = ours - {name for name, count in result["branches"].items() if count}
    assert not never, f"repairs that no kill has reached: {sorted(never)}"


def test_no_store_escapes_the_fault_points() -> None:
    escaped = []
    for path in [*SOURCES.glob("queue*.c"), *SOURCES.glob("bell.c")]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"(?<![\w])(atomic_store|\.opaque|->opaque\s*=)", line) and "SYS_futex" not in line:
                escaped.append(f"{path.name}:{number}: {line.strip()}")
    escaped = [line for line in escaped if "bells.stop" not in line]
    assert not escaped, "\n".join(escaped)
