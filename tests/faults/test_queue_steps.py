"""Every operation on queues, killed at every store: nothing is lost but what was in the killed hands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "packages" / "native" / "csrc"
pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(600)]


def test_killed_at_every_step(check_steps) -> None:
    check_steps("queue", "queue*.c")


def test_no_store_escapes_the_fault_points() -> None:
    escaped = []
    for path in [*SOURCES.glob("queue*.c"), *SOURCES.glob("bell.c")]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"(?<![\w])(atomic_store|\.opaque|->opaque\s*=)", line) and "SYS_futex" not in line:
                escaped.append(f"{path.name}:{number}: {line.strip()}")
    escaped = [line for line in escaped if "bells.stop" not in line]
    assert not escaped, "\n".join(escaped)
