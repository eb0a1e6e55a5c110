"""The build of the core that dies on request, and runs of the programs that kill at every store."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[[str], Any]


@pytest.fixture(scope="session")
def fault_build() -> dict[str, str]:
    """The environment in which the core is the build that dies on request."""
    build = [sys.executable, str(ROOT / "packages" / "native" / "hatch_build.py"), "--faults"]
    done = subprocess.run(build, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the test build of the core cannot be made: {done.stderr[-300:]}")
    return {**os.environ, "PROCESSION_NATIVE_FAULTS": "1"}


@pytest.fixture
def run_steps(fault_build: dict[str, str], sample: bool, request: pytest.FixtureRequest) -> Run:
    """Run ``<name>_steps.py`` of this folder to its end and return what it says in its last line; a sample of the
    longer ones is every third step."""

    def run(name: str) -> Any:
        marker = request.node.get_closest_marker("timeout")
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name(f"{name}_steps.py"))],
            env={**fault_build, "FAULT_STRIDE": "3" if sample else "1"},
            capture_output=True,
            text=True,
            timeout=marker.args[0] - 20,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture
def check_steps(run_steps: Run, sample: bool) -> Callable[[str, str], None]:
    """Run ``<name>_steps.py``: every operation must have been killed somewhere, and, but for a sample, every repair
    branch in the sources that match the pattern must have been taken."""

    def check(name: str, sources: str) -> None:
        result = run_steps(name)
        print(f"{sum(result['steps'].values())} kills:")
        for operation, steps in result["steps"].items():
            print(f"  {steps:4} {operation}")
        for branch, count in sorted(result["branches"].items()):
            print(f"  {count:4} times: {branch}")
        # Creation and opening have their fault points in the heap, the others their own stores.
        assert all(steps > 0 for steps in result["steps"].values())
        ours: set[str] = set()
        for path in (ROOT / "packages" / "native" / "csrc").glob(sources):
            ours.update(re.findall(r'FAULT_BRANCH\("([^"]+)"\)', path.read_text()))
        ours = {name for name in ours if "want of memory" not in name}  # test_memory_steps.py reaches those
        never = ours - {branch for branch, count in result["branches"].items() if count}
        assert sample or not never, f"repairs that no kill has reached: {sorted(never)}"

    return check
