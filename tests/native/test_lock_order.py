"""The check of the lock order in debug builds: a thread that takes locks in the wrong order ends with a message."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "packages" / "native" / "csrc"
pytestmark = [
    pytest.mark.linux_only,
    pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler"),
    pytest.mark.skipif(not SOURCES.is_dir(), reason="needs the sources of the core"),
]


@pytest.mark.parametrize(
    "steps, complaint",
    [
        ("rank_enter(RANK_PUT); rank_enter(RANK_GET); rank_enter(RANK_ARENA); rank_leave(RANK_ARENA);", ""),
        ("rank_enter(RANK_GET); rank_leave(RANK_GET); rank_enter(RANK_PUT);", ""),
        ("rank_enter(RANK_GET); rank_enter(RANK_PUT);", "the put lock is taken while the get lock is held"),
        (
            "rank_enter(RANK_ARENA); rank_enter(RANK_ARENA);",
            "the arena lock is taken while the arena lock is held",
        ),
        ("rank_leave(RANK_GUARD);", "the barrier's lock is given up by a thread that does not hold it"),
    ],
)
def test_order(tmp_path: Path, steps: str, complaint: str) -> None:
    main = tmp_path / "main.c"
    main.write_text(f'#include "lockorder.h"\nint main(void) {{ {steps} return 0; }}\n')
    program = tmp_path / "main"
    command = [
        "cc",
        "-std=c11",
        "-DPROCESSION_DEBUG",
        f"-I{SOURCES}",
        str(main),
        str(SOURCES / "lockorder.c"),
    ]
    subprocess.run([*command, "-o", str(program)], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True)
    assert (done.returncode != 0) == bool(complaint)
    assert complaint in done.stderr
