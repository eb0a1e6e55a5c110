"""docs/examples/mp_synchronize.py shows what the manual says, over each of the three kinds of objects."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN_WITH = Path(__file__).with_name("run_with.py")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "mp_synchronize.py"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["processes", "manager", "threads"])
def test_output(kind: str, start_method: str) -> None:
    if kind == "threads" and start_method != "fork":
        pytest.skip("threads have no start method")
    command = [sys.executable, str(RUN_WITH), start_method, str(EXAMPLE), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = re.split(r"\t######## test_(\w+)\n", done.stdout)
    output = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert len(re.findall("has finished", output["value"])) == 10
    assert output["value"].rstrip().endswith("No more running processes")
    numbers = [word for word in output["queue"].split() if word != "TIMEOUT"]
    assert numbers == [*(str(number * number) for number in range(30)), "STOP"]
    order = [
        output["condition"].index(text)
        for text in ("main is waiting", "child is notifying", "main has woken")
    ]
    assert order == sorted(order) and output["condition"].count("condition =") == 7
    counts = [int(number) for number in re.findall(r"(\d+) tasks are running", output["semaphore"])]
    assert len(counts) == 10 and max(counts) <= 3 and output["semaphore"].count("has finished") == 10
    assert output["join_timeout"].count(" .") + output["join_timeout"].count(". ") >= 1
    assert output["event"].count("is waiting") == 5 and output["event"].count("has woken up") == 5
    assert "Tests passed" in output["sharedvalues"]
