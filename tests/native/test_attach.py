"""Attaching: only to an arena that this version of the core has made."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from procession_native import core

pytestmark = [pytest.mark.native_only, pytest.mark.linux_only]

ATTACH = """
import sys
from procession_native import core
try:
    core.attach(int(sys.argv[1]), int(sys.argv[2]), 1, 1)
except Exception as error:
    print(type(error).__name__, error)
"""


def attach_to_copy(changed: int | None) -> str:
    """Return what attaching to a copy of this process's arena says, of which one byte may be changed."""
    keep = core.Block(1)  # makes the arena
    names = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            names[os.readlink(f"/proc/self/fd/{name}")] = int(name)
        except OSError:  # the descriptor of the listing itself
            continue
    arena, lease = (names[f"/memfd:{name} (deleted)"] for name in ("procession", "procession-lease"))
    copy = os.memfd_create("copy", 0)
    try:
        size = os.fstat(arena).st_size
        os.ftruncate(copy, size)
        head = bytearray(os.pread(arena, 1 << 22, 0))
        if changed is not None:
            head[changed] ^= 1
        os.pwrite(copy, head, 0)
        done = subprocess.run(
            [sys.executable, "-c", ATTACH, str(copy), str(lease)],
            pass_fds=(copy, lease),
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        os.close(copy)
    del keep
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("byte", [0, 8, 12], ids=["magic", "layout", "size of the header"])
def test_an_arena_of_another_version_is_refused_and_the_error_says_so(byte: int) -> None:
    said = attach_to_copy(byte)
    assert said.startswith("RuntimeError ") and "a different version of procession" in said, said


def test_the_versions_are_all_that_was_wrong_with_it() -> None:
    assert "version" not in attach_to_copy(None)
