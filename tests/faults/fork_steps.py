"""Kills forked children at every store on their way to a slot.  Run by test_fork_steps.py.

A program of its own, because it needs the build of the core that dies on request.  For k = 1, 2, … a child is
killed at its k-th store, counted from the moment of the fork, so that it never runs a line of Python for the
first ones.  What it inherited must be given back as soon as its death is known.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from killing import require

import procession_shm  # noqa: F401 -- binds the core's errors
from procession_native import core

PATIENCE = 5.0  # less than the time for which a slot without a pid is kept


def until(condition: Callable[[], bool], what: str) -> float:
    begun = time.monotonic()
    while not condition():
        require(time.monotonic() - begun < PATIENCE, what)
        time.sleep(0.01)
    return time.monotonic() - begun


def starting() -> list[Any]:
    return [p for p in core.processes() if p["state"] != "live" or not p["alive"]]


def swept(block: Any) -> bool:
    core.sweep()
    return block.references() == 1 and not starting()


def killed_child(k: int) -> int:
    """A child that dies at its k-th store; 0 if it reached the end instead."""
    core.fault_set_in_child(k, signal.SIGKILL)
    pid = os.fork()
    if pid == 0:
        core.fault_set(0)
        os._exit(0)
    core.fault_set_in_child(0, signal.SIGKILL)
    return pid


def steps(told: bool) -> int:
    block = core.Block(1 << 16)
    killed = 0
    while True:
        pid = killed_child(killed + 1)
        if told:
            core.forked(pid)
        _, status = os.waitpid(pid, 0)
        if told:
            core.note_exit(pid, status)
            require(block.references() == 1, f"k={killed + 1}: the dead child's references are still counted")
            require(not starting(), f"k={killed + 1}: {starting()}")
        else:
            until(
                lambda: swept(block),
                f"k={killed + 1}: a slot that nobody can claim is kept: {core.processes()}",
            )
        require(core.check() is None, "the heap is damaged")
        if os.WIFEXITED(status):
            return killed
        killed += 1


def steps_of_a_move() -> int:
    """A child that was forked ahead takes a reserved slot, in which an object of its own waits already, and another."""
    inherited = core.Block(1 << 16)
    killed = 0
    while True:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            slot, generation = json.loads(os.read(reading, 100))
            core.fault_set(killed + 1)
            core.move(slot, generation)
            core.fault_set(0)
            os._exit(0 if inherited.references() == 2 and core.self_slot() == (slot, generation) else 1)
        core.forked(pid)
        given = core.Block(1 << 16)
        slot, generation = core.reserve_slot("moves")
        for block in (inherited, given):
            core.slot_hold(slot, generation, block)
        core.child_started(slot, generation, pid)
        os.write(writing, json.dumps((slot, generation)).encode())
        _, status = os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)
        core.note_exit(pid, status)
        for block in (inherited, given):
            until(lambda: swept(block), f"k={killed + 1}: references stay: {core.processes()}")  # noqa: B023
        require(core.check() is None, "the heap is damaged")
        if os.WIFEXITED(status):
            require(os.WEXITSTATUS(status) == 0, "the child has not what it should have")
            return killed
        killed += 1


def a_slow_child_is_waited_for() -> None:
    """A child stopped inside fork() keeps its slot and its references, for longer than others get to claim."""
    block = core.Block(1 << 16)
    reading, writing = os.pipe()
    core.fault_set_in_child(1, signal.SIGSTOP)
    pid = os.fork()
    if pid == 0:
        os.write(writing, b"x" if block.references() == 2 and core.attached() else b"-")
        os._exit(0)
    core.fault_set_in_child(0, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
    begun = time.monotonic()
    while time.monotonic() - begun < 0.6:
        core.sweep()
        require(block.references() == 2, "a child that may still claim its slot has lost its references")
        time.sleep(0.02)
    os.kill(pid, signal.SIGCONT)
    require(os.read(reading, 1) == b"x", "the child has lost what it inherited")
    _, status = os.waitpid(pid, 0)
    core.note_exit(pid, status)
    require(block.references() == 1, "the child's references stay")


def forks_in_threads() -> None:
    """Each thread tells of its own fork."""
    block = core.Block(1 << 16)

    def run() -> None:
        for _ in range(10):
            pid = killed_child(0)
            core.forked(pid)
            _, status = os.waitpid(pid, 0)
            core.note_exit(pid, status)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: swept(block), f"children of threads are kept: {core.processes()}")


def main() -> None:
    core.ensure()
    result = {"told": steps(True), "foreign": steps(False), "move": steps_of_a_move()}
    a_slow_child_is_waited_for()
    forks_in_threads()
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
