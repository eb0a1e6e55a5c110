"""Forked workers that are held back, and their owners, killed at every step."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.linux_only, pytest.mark.timeout(600)]


def test_killed_at_every_step(run_steps) -> None:
    steps = run_steps("hold")
    print(f"{sum(steps.values())} kills: {steps}")
    assert len(steps) == 8 and all(count > 5 for count in steps.values()), steps
