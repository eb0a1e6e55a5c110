"""Every operation on the bag of a pipe, killed at every store."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(300)]


def test_killed_at_every_step(run_steps) -> None:
    steps = run_steps("bag")
    assert len(steps) == 8 and all(count > 5 for count in steps.values()), steps
