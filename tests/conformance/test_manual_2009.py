"""The manual of Python 2.6, paragraph by paragraph: what is common to its tests.

test_manual_2009_process, _messages, _sharing and _pool hold the tests, by section. Where the manual and today's
documentation differ, today's holds, and the difference is an entry of known_differences.toml under ``manual``: the
table in docs/differences.md is made from it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import runner

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("test_manual_2009_*.py"))
DIFFERENCES = runner.read_manual()


def all_tests() -> set[str]:
    return {
        name
        for path in FILES
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
    }


@pytest.mark.parametrize(
    "entry", DIFFERENCES, ids=[entry["section"] + ": " + entry["test"] for entry in DIFFERENCES]
)
def test_difference_is_tested(entry: dict[str, str]) -> None:
    assert set(entry) == {"section", "manual", "today", "test"} and all(entry.values())
    assert entry["test"] in all_tests()


def test_names_of_tests_are_unique() -> None:
    names = [
        name
        for path in FILES
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M)
    ]
    assert len(names) == len(set(names)) > 100
