"""Explore every interleaving of the models in tests/models with the model checker Spin.

Usage: ``python tools/run_models.py [NAME ...]``

Each model is compiled to a program that visits all states; an assertion that fails, or a process that waits for
ever, is an error and prints the steps that lead there. A run marked *must fail* leaves out a part of the
protocol: finding nothing there would mean that the model sees nothing. Without Spin or a C compiler the models
are skipped, which is a failure where ``CI`` is set.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "tests" / "models"
SECONDS = 300

# Model, its parameters, whether an error must be found.
RUNS: tuple[tuple[str, str, bool], ...] = (
    ("lock", "-DN=2 -DROUNDS=3 -DKILLS=0", False),
    ("lock", "-DN=2 -DROUNDS=2 -DKILLS=1", False),
    ("lock", "-DN=3 -DROUNDS=1 -DKILLS=2", False),
    ("lock", "-DN=3 -DROUNDS=1 -DKILLS=1 -DTIMED=0", True),
    ("queue", "-DPRODUCERS=1 -DCONSUMERS=1 -DPUTS=3 -DKILLS=0", False),
    ("queue", "-DPRODUCERS=2 -DCONSUMERS=1 -DPUTS=2 -DKILLS=1", False),
    ("queue", "-DPRODUCERS=1 -DCONSUMERS=2 -DPUTS=3 -DKILLS=1", False),
    ("queue", "-DPRODUCERS=1 -DCONSUMERS=2 -DPUTS=2 -DKILLS=1 -DNO_RECOVERY", True),
    ("queue", "-DPRODUCERS=1 -DCONSUMERS=1 -DPUTS=2 -DKILLS=0 -DNO_SECOND_LOOK", True),
)


def explore(model: str, parameters: str, folder: Path) -> tuple[bool, str]:
    """Whether an error was found, and what the checker says."""
    source = MODELS / f"{model}.pml"
    call = ["spin", "-a", *parameters.split(), str(source)]
    subprocess.run(call, cwd=folder, check=True, capture_output=True, text=True)
    # COLLAPSE keeps the states small; SAFETY: assertions and invalid end states, no cycles.
    call = ["cc", "-O2", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=2048", "-w", "-o", "pan", "pan.c"]
    subprocess.run(call, cwd=folder, check=True, capture_output=True, text=True)
    done = subprocess.run(
        ["./pan", "-m2000000"], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    found = re.search(r"errors: (\d+)", done.stdout)
    if not found or "search depth too small" in done.stdout or "out of memory" in done.stdout:
        raise RuntimeError(
            f"{model} {parameters}: not explored to the end\n{done.stdout[-2000:]}{done.stderr[-500:]}"
        )
    text = done.stdout
    if found[1] != "0":
        trail = subprocess.run(
            ["spin", "-t", "-p", "-g", *parameters.split(), f"-k{source.name}.trail", str(source)],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        text += trail.stdout[-6000:] + trail.stderr[-500:]
    return found[1] != "0", text


def main(names: list[str]) -> int:
    """The command: every run, or those of the named models."""
    if not shutil.which("spin") or not shutil.which("cc"):
        print("models skipped: needs spin (apt-get install spin) and cc")
        return 1 if os.environ.get("CI") else 0
    failed = 0
    for model, parameters, must_fail in RUNS:
        if names and model not in names:
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="procession-models-") as folder:
            error, text = explore(model, parameters, Path(folder))
        states = re.search(r"(\d\S*) states, stored", text)
        verdict = "as it must, finds an error" if error and must_fail else "error" if error else "no error"
        good = error == must_fail
        failed += not good
        spent = time.monotonic() - begun
        print(
            f"{model:6} {parameters:48} {verdict}: {states[1] if states else '?'} states, {spent:.1f} s",
            flush=True,
        )
        if not good:
            print(text, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
