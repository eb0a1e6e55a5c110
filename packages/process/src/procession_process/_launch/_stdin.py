"""A forked child does not read its parent's standard input."""

from __future__ import annotations

import os
import sys
from io import BufferedReader, FileIO, TextIOWrapper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_empty: TextIO | None = None


def prepare_stdin() -> TextIO | None:
    """Before a fork: return the object that is to read the child's descriptor 0, made once; nothing is read
    by it. None where ``sys.stdin`` is not what reads it now: then the child calls ``close_stdin()``.
    """
    global _empty
    stdin = sys.stdin
    try:
        if stdin is not _empty and (stdin is None or stdin.fileno() != 0):
            return None
        if _empty is None:
            _empty = TextIOWrapper(BufferedReader(FileIO(0, closefd=False), 1), encoding="utf-8")
    except (AttributeError, OSError, ValueError):
        return None
    return _empty


def close_stdin() -> None:
    """In a forked child: replace a ``sys.stdin`` of another kind by an empty one."""
    if sys.stdin is None:
        return
    try:
        sys.stdin.close()
    except (AttributeError, OSError, ValueError):
        pass
    try:
        fd = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return
    sys.stdin = open(fd, encoding="utf-8", closefd=False)  # noqa: SIM115
