"""Workers and owners of pools, killed at every store of the pool's channels: at most the running task is lost."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(400)]


def test_killed_at_every_store(run_steps) -> None:
    steps = run_steps("channel")
    print(f"{sum(steps.values())} kills: {steps}")
    assert all(count > 10 for count in steps.values()), steps
