"""The executor of ``concurrent.futures`` with contexts of this package, plain and under the alias."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
import multiprocessing, os

def square(x):
    return x * x

def end():
    os._exit(3)

if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(sys.argv[1])) as executor:
        assert list(executor.map(square, range(40), chunksize=3)) == [x * x for x in range(40)]
        try:
            executor.submit(end).result(60)
        except BrokenProcessPool:
            print("broken")
    print(type(multiprocessing.get_context(sys.argv[1])).__module__.split(".")[0])
"""


def square(value: int) -> int:
    return value * value


def fail(text: str) -> None:
    raise LookupError(text)


def end() -> None:
    os._exit(3)


def remember(value: int) -> None:
    global remembered
    remembered = value


remembered = 0


def recall() -> int:
    return remembered


def test_results_and_errors(mp_context: Any) -> None:
    with ProcessPoolExecutor(2, mp_context=mp_context, initializer=remember, initargs=(7,)) as executor:
        assert list(executor.map(square, range(100), chunksize=7)) == [x * x for x in range(100)]
        assert executor.submit(recall).result(60) == 7
        with pytest.raises(LookupError, match="here"):
            executor.submit(fail, "here").result(60)
        with pytest.raises(Exception, match="pickle|local object"):
            executor.submit(lambda: 1).result(60)
        large = os.urandom(1 << 20)
        assert executor.submit(bytes.upper, large).result(60) == large.upper()
        assert executor.submit(square, 3).result(60) == 9


def test_a_death_breaks_it(mp_context: Any) -> None:
    with ProcessPoolExecutor(2, mp_context=mp_context) as executor:
        pending = executor.submit(end)
        with pytest.raises(BrokenProcessPool):
            pending.result(60)
        with pytest.raises(BrokenProcessPool):
            executor.submit(square, 3)


def test_in_the_place_of_multiprocessing(start_method: str, tmp_path: Path) -> None:
    pytest.importorskip("procession", reason="needs the meta-distribution")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "procession", str(program), start_method],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["broken", "procession"], done.stderr
