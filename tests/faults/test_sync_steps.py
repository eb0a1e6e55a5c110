"""Every synchronisation operation, killed at every store: the survivors find a valid, live, leak-free structure."""

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
pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(400)]


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


def branches_in_the_sources() -> set[str]:
    found: set[str] = set()
    for path in SOURCES.glob("sync*.c"):
        found.update(re.findall(r'FAULT_BRANCH\("([^"]+)"\)', path.read_text()))
    return found


def test_killed_at_every_step(fault_build: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sync_steps.py"))],
        env=fault_build,
        capture_output=True,
        text=True,
        timeout=380,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{sum(result['steps'].values())} kills:")
    for name, steps in result["steps"].items():
        print(f"  {steps:4} {name}")
    for name, count in sorted(result["branches"].items()):
        print(f"  {count:4} times: {name}")
    # Creation and opening have their fault points in the heap, the others their own stores.
    assert all(steps > 0 for steps in result["steps"].values())
    never = branches_in_the_sources() - {name for name, count in result["branches"].items() if count}
    assert not never, f"repairs that no kill has reached: {sorted(never)}"


def test_no_store_escapes_the_fault_points() -> None:
    """Shared fields have an opaque type; only the macros of shared.h reach into it, or a futex call by its address."""
    for path in SOURCES.glob("sync*.[ch]"):
        for line in path.read_text().splitlines():
            for use in re.findall(r"\S*opaque\S*", line):
                assert use.startswith("&") and "syscall" in line, f"{path.name}: {line.strip()}"
