"""What the programs of abuse share: children, and conditions that must hold."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from procession_core import OwnerDiedError
from procession_native import core

PATIENCE = 60.0


def require(truth: Any, what: str) -> None:
    if not truth:
        raise AssertionError(what)


def fork(run: Callable[[], Any]) -> int:
    """A child that runs it; its exit code is 0 if nothing was raised."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            run()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def reap(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    core.note_exit(pid, status)
    return os.waitstatus_to_exitcode(status)


def all_good(pids: list[int]) -> None:
    codes = [reap(pid) for pid in pids]
    require(not any(codes), f"exit codes {codes}")


def take(lock: Any) -> bool:
    """Acquire it; False if its owner had died."""
    try:
        require(lock.acquire(True, PATIENCE), f"{lock!r} is not to be had")
        return True
    except OwnerDiedError:
        return False


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        require(time.monotonic() < deadline, what)
        time.sleep(0.01)


def square(x: int) -> int:
    return x * x
