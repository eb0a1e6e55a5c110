"""Either side of a connection between a Listener and a Client, killed at every system call and store."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.linux_only, pytest.mark.timeout(600)]


def test_killed_at_every_step(run_steps) -> None:
    steps = run_steps("frame")
    print(f"{sum(steps.values())} kills: {steps}")
    assert len(steps) == 10 and all(count > 3 for count in steps.values()), steps
