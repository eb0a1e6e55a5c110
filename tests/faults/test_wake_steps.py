"""Every sleeper is woken by somebody: none needs the look that is there for deaths."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.linux_only, pytest.mark.timeout(300)]


def test_nobody_sleeps_on(run_steps) -> None:
    steps = run_steps("wake")
    print(steps)
    assert len(steps) == 20 and all(steps.values()), steps
