"""New pages of the arena: senders killed while they are filled, want of descriptors, forks meanwhile."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.linux_only, pytest.mark.timeout(200)]


def test_killed_at_every_step(run_steps) -> None:
    steps = run_steps("fill")
    print(steps)
    assert len(steps) == 4 and all(steps.values()), steps
