"""Every operation on tracked names, killed at every store."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(300)]


def test_killed_at_every_step(run_steps) -> None:
    steps = run_steps("names")
    assert steps["add"] > 10 and steps["discard"] > 10, steps
