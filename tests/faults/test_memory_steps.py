"""Every operation on shared objects, refused memory at every mapping, and forks without a slot or memory."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(300)]


def test_refused_at_every_mapping(run_steps) -> None:
    result = run_steps("memory")
    steps, branches = result["steps"], result["branches"]
    assert steps.pop("queue made") >= 0 and all(steps.values()), steps
    for branch in (
        "txn: abandoned for want of memory",
        "txn: left to others for want of memory",
        "queue: lock left to others for want of memory",
        "fork: severed",
    ):
        assert branches.get(branch), f"never taken: {branch} of {sorted(branches)}"
