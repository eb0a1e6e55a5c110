"""A forked child does not read its parent's standard input."""

from __future__ import annotations

import os
import sys
from io import BufferedReader, FileIO, TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_empty: TextIO | None = None


def prepare_stdin() -> None:
    """Before a fork: make the object that will read the child's descriptor 0. Made once; nothing is read by
    it.
    """
    global _empty
    if _empty is None:
        try:
            _empty = TextIOWrapper(BufferedReader(FileIO(0, closefd=False), 1), encoding="utf-8")
        except (OSError, ValueError):
            pass


def close_stdin() -> None:
    """In a forked child: replace ``sys.stdin`` by an empty one."""
    if sys.stdin is None:
        return
    try:
        usual = _empty is not None and sys.stdin.fileno() == 0
    except (AttributeError, OSError, ValueError):
        usual = False
    try:
        fd = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return
    if usual:
        # 200 us cheaper than a new object, nearly all of it page faults of the copied memory.
        os.dup2(fd, 0)
        os.close(fd)
        sys.stdin = _empty
        return
    try:
        sys.stdin.close()
    except (AttributeError, OSError, ValueError):
        pass
    sys.stdin = open(fd, encoding="utf-8", closefd=False)  # noqa: SIM115
