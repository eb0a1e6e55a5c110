"""Forked children, killed at every store on their way to a slot of the registry."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(300)]


def test_killed_at_every_step(run_steps) -> None:
    steps = run_steps("fork")
    assert steps["told"] >= 4 and steps["foreign"] >= 4 and steps["move"] >= 10, steps
