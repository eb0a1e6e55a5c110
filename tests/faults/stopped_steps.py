"""Stops processes at every store of a change of the arena, and looks what becomes of the others.

Run by test_stopped_steps.py.

A program of its own, because it needs the build of the core that stops on request.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from killing import require

import procession_synchronize as sync
from procession_native import core
from procession_queues import Queue

sys.stdout.reconfigure(line_buffering=True)


def stopped_child(k: int, operation: Any) -> int | None:
    """A child that stops itself at the k-th store after its fork's own; None if it came to its end."""
    pid = os.fork()
    if pid == 0:
        core.fault_stop(k)
        operation()
        os._exit(0)
    _, status = os.waitpid(pid, os.WUNTRACED)
    return pid if os.WIFSTOPPED(status) else None


def holder() -> int | None:
    owner = core.lock_owner(core.fds()[0])
    return None if owner is None else int(owner)


def persistent() -> tuple[int, int]:
    """A program that goes on trying; it begins when the descriptor is closed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(writing)
            os.read(reading, 1)
            while True:
                try:
                    sync.Lock()
                except TimeoutError:
                    continue
        except KeyboardInterrupt:
            code = 0
        finally:
            os._exit(code)
    os.close(reading)
    return pid, writing


def interrupt(pid: int, go: int) -> None:
    """Ctrl-C ends it."""
    os.close(go)
    time.sleep(0.3)
    begun = time.monotonic()
    os.kill(pid, signal.SIGINT)
    _, status = os.waitpid(pid, 0)
    core.note_exit(pid, status)
    require(os.waitstatus_to_exitcode(status) == 0, "the interrupted child")
    require(time.monotonic() - begun < 10, "Ctrl-C took too long")


def main() -> None:
    core.ensure()
    queue = Queue()
    queue.put([1, sync.Lock()])
    queue.get()
    other, go = persistent()
    looked = stuck = 0
    k = 0
    while True:
        k += 4
        pid = stopped_child(k, sync.Lock)
        if pid is None:
            break
        looked += 1
        if holder() == pid:
            stuck += 1
            if stuck <= 3:
                begun = time.monotonic()
                try:
                    sync.Lock()
                except TimeoutError as error:
                    require(str(pid) in str(error) and "SIGSTOP" in str(error), f"the message is {error}")
                else:
                    raise AssertionError("the lock of a stopped process was taken")
                require(0.9 < time.monotonic() - begun < 10, "the patience was not as documented")
                shown = subprocess.run(
                    [sys.executable, "-c", "from procession._doctor import main; main(['top'])"],
                    capture_output=True,
                    text=True,
                    timeout=60,
                )
                require("^ is stopped while it changes" in shown.stdout, f"top shows {shown}")
            if stuck == 1:
                interrupt(other, go)
        os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, 0)
        core.note_exit(pid, status)
        require(os.waitstatus_to_exitcode(status) == 0, "the stopped child went on to its end")
        sync.Lock()
        require(core.check() is None, f"{core.check()}")
    print(json.dumps({"stopped": looked, "within the lock": stuck}))


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(str(error))
