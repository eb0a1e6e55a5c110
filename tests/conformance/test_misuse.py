"""Misuse is refused as the standard library refuses it: the same error or a kind of it, its text beginning alike."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parent / "misuse.py"


def results(start: list[str], method: str, folder: Path) -> dict[str, tuple[str, str, list[str]]]:
    file = folder / f"{len(start)}.json"
    done = subprocess.run(
        [sys.executable, *start, str(PROGRAM), method, str(file)],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert file.exists(), done.stderr[-3000:]
    found: dict[str, Any] = json.loads(file.read_text())
    return {name: tuple(result) for name, result in found.items()}


def plain(text: str) -> str:
    """Without what is of one object or run: representations, addresses and long numbers."""
    text = re.sub(r"0x[0-9a-f]+|\b\d{3,}\b", "N", text)
    return re.sub(r"<[^<>]*>", "<object>", text)


@pytest.mark.linux_only
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("method", "flags"), [("fork", []), ("spawn", []), ("forkserver", ["-O"])])
def test_refused_alike(method: str, flags: list[str], tmp_path: Path) -> None:
    """With -O too, under which the standard library's own assertions refuse nothing."""
    theirs = results([], method, tmp_path)
    ours = results([*flags, "-m", "procession"], method, tmp_path)
    assert len(theirs) > 250 and theirs.keys() == ours.keys()
    different = []
    for name, (kind, text, _) in theirs.items():
        our_kind, our_text, bases = ours[name]
        if kind and (kind not in bases or not plain(our_text).startswith(plain(text))):
            different.append(f"{name}: {kind}: {text}\n    but here {our_kind}: {our_text}")
    assert not different, "\n".join(different)
