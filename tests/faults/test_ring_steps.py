"""Every operation on the ring of a pipe, killed at every store."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "packages" / "native" / "csrc"
pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(600)]


def test_killed_at_every_step(run_steps) -> None:
    steps = run_steps("ring")
    print(f"{sum(steps.values())} kills: {steps}")
    assert len(steps) == 23 and all(steps.values()), steps


def test_no_store_escapes_the_fault_points() -> None:
    escaped = [
        f"{name}:{number}: {line.strip()}"
        for name in ("ring.c", "stream.c", "ahead.c", "fill.c", "channel_hold.c")
        for number, line in enumerate((CSRC / name).read_text().splitlines(), 1)
        if re.search(r"(?<![\w])(atomic_store|\.opaque|->opaque\s*=)", line)
    ]
    assert not escaped, "\n".join(escaped)
