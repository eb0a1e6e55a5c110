"""Waiting for a condition."""

from __future__ import annotations

import sysconfig
import time
from collections.abc import Callable

WITHOUT_GIL = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "condition did not come true"
        time.sleep(0.005)


def at_once(condition: Callable[[], object]) -> None:
    """Of objects that are gone: without the GIL one goes when the thread that made it runs again."""
    if WITHOUT_GIL:
        until(condition)
    assert condition()
