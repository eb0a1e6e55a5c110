"""Children for the tests of layers below Process: forks and programs of their own, with a result."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any


def in_fork(func: Callable[..., Any], *args: Any) -> Any:
    """Run ``func(*args)`` in a forked child and return its result; AssertionError if it fails."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            signal.alarm(60)
            try:
                answer = (True, func(*args))
            except BaseException:
                import traceback

                answer = (False, traceback.format_exc())
            with open(writer, "wb") as file:
                pickle.dump(answer, file)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    assert data, "the child ended without an answer"
    good, result = pickle.loads(data)
    assert good, result
    return result


def run_program(source: str, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run *source* in a fresh interpreter and return the completed process."""
    return subprocess.run(
        [sys.executable, "-c", source, *args], capture_output=True, text=True, timeout=60, **options
    )


def start_program(source: str, *args: str) -> subprocess.Popen[str]:
    """Start *source* in a fresh interpreter, with pipes for its input and output."""
    return subprocess.Popen(
        [sys.executable, "-c", source, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
