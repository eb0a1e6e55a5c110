"""Kills senders while new pages of the arena are filled. Run by test_fill_steps.py.

A program of its own, because it needs the build of the core that dies on request. A child that sends a long
message dies at the k-th step: while the kernel copies into pages through a userfaultfd, or, where there is no
descriptor left for one, while it writes them. The block is given back, and who gets its memory next finds
zeros.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from killing import STRIDE, reap, require, used

from procession_connection import Pipe
from procession_native import core

SIZE = 3 << 19
LONG = bytes(range(1, 256)) * (SIZE // 255 + 1)
STEPS: dict[str, int] = {}


def clean() -> None:
    """Look at the memory that the last one has given back, and let the next one need new pages."""
    block = core.Block(len(LONG), zero=True)
    require(not memoryview(block).tobytes().strip(b"\0"), "a new block is not zero")
    del block
    core.trim()


def without_descriptors() -> tuple[int, int]:
    """From now on none can be opened; returns the limits of before."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.dup(0)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, limits[1]))
    return limits


def tried(name: str) -> int:
    return int(core.fault_branches().get(f"fill: {name}", 0))


def kill(name: str, full: bool) -> None:
    k = 1 - STRIDE
    ended = False
    while not ended:
        k += STRIDE
        label = f"{name}, step {k}"
        start, before = used(), tried(name)
        reader, writer = Pipe()
        pid = os.fork()
        if pid == 0:
            if full:
                without_descriptors()
            core.fault_set(k)
            writer.send_bytes(LONG)
            core.fault_set(0)
            os._exit(0)
        code = reap(pid)
        ended = code == 0
        require(ended or code == -signal.SIGKILL, f"{label}: exit code {code}")
        writer.close()
        if reader.poll(0):
            try:
                require(reader.recv_bytes() == LONG, f"{label}: the message is damaged")
            except EOFError:
                require(not ended, f"{label}: no message")
        reader.close()
        del reader, writer
        left = used() - start
        require(left == 0, f"{label}: {left} bytes are not given back")
        require(core.check() is None, f"{label}: {core.check()}")
        clean()
    STEPS[name] = k - 1
    require(tried(name) > before, f"{name}: that was not tried")
    print(name, k - 1, file=sys.stderr, flush=True)


def at_the_limit() -> None:
    """Without descriptors a process writes its pages; with them it has the kernel copy again."""
    for full in (True, False):
        fds = len(os.listdir("/proc/self/fd"))
        reader, writer = Pipe()
        limits = without_descriptors() if full else None
        writer.send_bytes(LONG)
        received = reader.recv_bytes()
        if limits:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        require(received == LONG, "the message is damaged")
        reader.close()
        writer.close()
        require(len(os.listdir("/proc/self/fd")) == fds, "a descriptor stays")
        clean()
    STEPS["at the limit"] = 1


def forks() -> None:
    """A child that is forked while another thread fills pages has none of its descriptors."""
    data = bytes(24 << 20)
    kept: list[Any] = []

    def fill() -> None:
        for _ in range(6):
            reader, writer = Pipe()
            writer.send_bytes(data)
            kept.append((reader, writer))

    thread = threading.Thread(target=fill)
    thread.start()
    count = 0
    while thread.is_alive():
        pid = os.fork()
        if pid == 0:
            found = 0
            for fd in os.listdir("/proc/self/fd"):
                with suppress(FileNotFoundError):  # that of the listing
                    found |= "userfaultfd" in os.readlink(f"/proc/self/fd/{fd}")
            os._exit(found)
        count += 1
        require(reap(pid) == 0, f"fork {count}: the child has a descriptor for its parent's memory")
    thread.join()
    kept.clear()
    STEPS["forks"] = count


core.ensure()
warm = Pipe()
warm[1].send_bytes(LONG)
warm[0].recv_bytes()
del warm
clean()
kill("copied by the kernel", False)
kill("written", True)
at_the_limit()
forks()
print(json.dumps(STEPS))
