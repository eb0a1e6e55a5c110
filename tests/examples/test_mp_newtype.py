"""docs/examples/mp_newtype.py shows what the manual says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUN_WITH = Path(__file__).with_name("run_with.py")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "mp_newtype.py"


def test_output(start_method: str) -> None:
    command = [sys.executable, str(RUN_WITH), start_method, str(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("-" * 20 + "\n")
    assert parts[1].splitlines() == ["you called Foo.f()", "you called Foo.g()"]
    assert parts[2].splitlines() == ["you called Foo.g()", "you called Foo._h()"]
    assert parts[3].split() == [f"<{number * number}>" for number in range(10)]
    assert "op.add(23, 45) = 68" in parts[4]
    assert "op.pow(2, 94) = 19807040628566084398385987584" in parts[4]
    assert "'itemgetter'" in parts[4].split("op._exposed_ =")[1]
