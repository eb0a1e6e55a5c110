"""Children for the tests of the synchronisation objects, and waiting for conditions."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import procession_core

PATIENCE = 30.0


class ForkedChild:
    """A child made by nothing but os.fork(); its exit code is 0 if the function returned."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                procession_core.run_after_forkers()
                function(*args)
                code = 0
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(code)
        self._status: int | None = None

    def kill(self) -> None:
        os.kill(self.pid, 9)

    def join(self, timeout: float | None = None) -> None:
        if self._status is None:
            deadline = time.monotonic() + (PATIENCE if timeout is None else timeout)
            while time.monotonic() < deadline:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._status = status
                    return
                time.sleep(0.001)

    @property
    def exitcode(self) -> int | None:
        return None if self._status is None else os.waitstatus_to_exitcode(self._status)


def start(method: str, function: Callable[..., Any], *args: Any) -> Any:
    """A started child that runs ``function(*args)``."""
    if method == "os.fork":
        return ForkedChild(function, args)
    import procession_process

    kinds = {"fork": "ForkProcess", "spawn": "SpawnProcess", "forkserver": "ForkServerProcess"}
    kind = getattr(procession_process, kinds[method], None)
    if kind is None and method == "fork":
        return ForkedChild(function, args)
    if kind is None:
        pytest.skip("needs procession_process")
    child = kind(target=function, args=args)
    child.start()
    return child


def finish(*children: Any) -> None:
    """Join the children and check that none of them failed."""
    for child in children:
        child.join(PATIENCE)
    assert [child.exitcode for child in children] == [0] * len(children)


def eventually(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.001)


def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """The result of a call in another thread."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(function(*args))
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run, name="other")
    thread.start()
    thread.join(PATIENCE)
    assert results, "the thread hangs"
    return results[0]


class Threads:
    """Threads that are joined at the end."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []

    def run(self, function: Callable[..., Any], *args: Any) -> threading.Thread:
        def guarded() -> None:
            try:
                function(*args)
            except BaseException as error:
                self.errors.append(error)

        thread = threading.Thread(target=guarded)
        self._threads.append(thread)
        thread.start()
        return thread

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a thread hangs"
        assert self.errors == []
