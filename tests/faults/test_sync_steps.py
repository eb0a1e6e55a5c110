"""Every synchronisation operation, killed at every store: the survivors find a valid, live, leak-free structure."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "packages" / "native" / "csrc"
pytestmark = [pytest.mark.faults, pytest.mark.native_only, pytest.mark.timeout(400)]


def test_killed_at_every_step(check_steps) -> None:
    check_steps("sync", "sync*.c")


def test_no_store_escapes_the_fault_points() -> None:
    """Shared fields have an opaque type; only the macros of shared.h reach into it, or a futex call by its address."""
    for path in SOURCES.glob("sync*.[ch]"):
        for line in path.read_text().splitlines():
            for use in re.findall(r"\S*opaque\S*", line):
                assert use.startswith("&") and "syscall" in line, f"{path.name}: {line.strip()}"
