"""Parent, child and fork server are killed at every line of this library that a start runs.

Nothing hangs, nobody is left, the parent knows how its child ended, and a child whose start was acknowledged or will be
tried again runs once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import start_steps

PROGRAM = Path(start_steps.__file__)
CASES = [
    *(("parent", method, kind) for method in ("fork", "spawn", "forkserver") for kind in ("plain", "daemon")),
    *(("child", method, "daemon") for method in ("fork", "spawn", "forkserver")),
    ("zygote", "forkserver", "plain"),
]
SECONDS = 60


def run(role, method, kind, step, folder):
    """Return whether somebody died, the exit code of the parent, and what all have written."""
    (folder / "sitecustomize.py").write_text(start_steps.ARMING)
    done = folder / "done"
    done.unlink(missing_ok=True)
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM), method, kind],
        env={**os.environ, "PYTHONPATH": path, "STEP_ROLE": role, "STEP": str(step), "STEP_FILE": str(done)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        # The end of both streams means that no process of the tree is left.
        output, error = program.communicate(timeout=SECONDS)
    finally:
        program.kill()
        program.wait()
    return done.exists(), program.returncode, output, error


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.linux_only
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("role", "method", "kind"), CASES)
def test_killed_at_every_line(role, method, kind, tmp_path, sample):
    _, code, output, error = run(role, method, kind, 0, tmp_path)
    assert (code, output.count("worked"), output.count("code 0")) == (0, 3, 3), error
    unharmed = output.splitlines()[-1]
    stride = int(os.environ.get("FAULT_STRIDE", "0")) or (101 if sample else 7)
    step, kills = 1, 0
    while True:
        died, code, output, error = run(role, method, kind, step, tmp_path)
        where = f"step {step}: {output!r} {error}"
        if not died:
            break
        kills += 1
        worked = output.count("worked")
        codes = [line.split()[1] for line in output.splitlines() if line.startswith("code")]
        if role == "parent":
            assert code == -9 and worked <= 3, where
        else:
            assert code == 0 and len(codes) == 3, where
            # A dead fork server is collected, and what it had sent closed, when the next one is needed.
            assert output.splitlines()[-1] == unharmed or role == "zygote", where
        if role == "child":
            assert sorted(codes) in (["-9", "0", "0"], ["0", "0", "0"]), where
            assert codes.count("0") <= worked, where
        if role == "zygote":
            assert set(codes) <= {"0", "255"} and codes.count("255") <= 1 and worked == 3, where
        step += stride
    assert step > 50 and kills, where
