"""How many CPUs the core believes that it may spin on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.native_only, pytest.mark.linux_only]
PROGRAM = "from procession_native import core; print(core.CPUS)"


def cpus(**settings: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_those_of_the_affinity_mask() -> None:
    assert cpus() == len(os.sched_getaffinity(0))


def test_one_where_nobody_is_to_spin() -> None:
    assert cpus(PROCESSION_SPIN="0") == 1
    assert cpus(PROCESSION_SPIN="1") == len(os.sched_getaffinity(0))
