"""A forked child does not read its parent's standard input."""

from __future__ import annotations

import os
import sys


def close_stdin() -> None:
    """Replace ``sys.stdin`` by an empty one."""
    if sys.stdin is None:
        return
    try:
        sys.stdin.close()
    except (OSError, ValueError):
        pass
    try:
        fd = os.open(os.devnull, os.O_RDONLY)
        try:
            sys.stdin = open(fd, encoding="utf-8", closefd=False)  # noqa: SIM115
        except BaseException:
            os.close(fd)
            raise
    except (OSError, ValueError):
        pass
