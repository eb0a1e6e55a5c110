"""Processes stopped in the middle of a change of the arena: others say so, can be interrupted, and go on afterwards."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(200)]


def test_stopped_at_every_store(run_steps) -> None:
    result = run_steps("stopped")
    assert result["within the lock"] > 5, result
