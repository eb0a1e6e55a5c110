"""Senders, receivers and holders of large buffers are killed; the kernel's figure for the arena goes back."""

from __future__ import annotations

import gc
import os
import pickle
import random
import signal
import time
from typing import Any

import pytest

import procession

pytestmark = [pytest.mark.native_only, pytest.mark.linux_only, pytest.mark.stress, pytest.mark.timeout(300)]

SMALL, LARGE = 65_536, 3 << 20
SLABS = 512 << 10


class Buffer:
    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Buffer, (pickle.PickleBuffer(self.data),)


def some_bytes(chance: random.Random) -> bytearray:
    size = chance.randrange(SMALL, LARGE)
    data = bytearray(size)
    data[0] = data[-1] = size % 251
    return data


def whole(buffer: Buffer) -> bool:
    view = memoryview(buffer.data)
    return view[0] == view[-1] == view.nbytes % 251


def send(container: Any, seed: int) -> None:
    chance = random.Random(seed)
    while True:
        container.put(Buffer(some_bytes(chance)))


def receive(container: Any) -> None:
    held: list[Buffer] = []
    while True:
        held.append(container.get())
        if not whole(held[-1]):
            os._exit(3)
        del held[:-4]


def pages(core: Any) -> int:
    """What the kernel says that the arena's file holds, once everything free was given back."""
    gc.collect()
    core.sweep()
    core.trim()
    return os.fstat(core.fds()[0]).st_blocks * 512


class Through:
    """A Pipe with the two methods of a queue."""

    def __init__(self) -> None:
        self.reader, self.writer = procession.Pipe(False)
        self.put, self.get = self.writer.send, self.reader.recv


@pytest.mark.parametrize("kind", ["queue", "pipe"])
def test_killed_in_any_part(kind: str, sample: bool) -> None:
    from procession_shm import native

    core: Any = native
    chance = random.Random(11)

    def round_of_kills(seed: int) -> None:
        container: Any = procession.Queue(8) if kind == "queue" else Through()
        context = procession.get_context("fork")
        children = [
            context.Process(target=send, args=(container, seed)),
            context.Process(target=receive, args=(container,)),
        ]
        if kind == "queue":  # several of each; a Pipe has one at each end
            children += [
                context.Process(target=send, args=(container, -seed)),
                context.Process(target=receive, args=(container,)),
            ]
        for child in children:
            child.start()
        time.sleep(chance.random() / 20)
        chance.shuffle(children)
        for child in children:
            assert child.exitcode is None, "a buffer came damaged"
            os.kill(child.pid, signal.SIGKILL)
            if chance.random() < 0.5:
                child.join()
        for child in children:
            child.join()
            child.close()

    round_of_kills(1)
    start, used = pages(core), core.memory()["used"]
    for seed in range(5 if sample else 40):
        round_of_kills(seed)
    end = pages(core)
    assert core.check() is None
    assert core.memory()["used"] <= used
    # Slabs of small cells are kept; a block would be seen.
    assert end <= start + SLABS, f"{end - start} bytes of pages were not given back"


def test_what_nobody_reads_goes_with_the_queue() -> None:
    from procession_shm import native

    core: Any = native
    queue = procession.Queue()
    queue.put(1)
    queue.get()
    start = pages(core)
    for _ in range(20):
        queue.put([Buffer(bytearray(b"x") * (1 << 20)), "beside"])
    assert pages(core) >= start + (20 << 20)
    del queue
    assert pages(core) <= start + SLABS, core.memory()


def test_a_killed_holder_of_a_shared_object() -> None:
    from procession_shm import native, share

    core: Any = native
    native.ensure()
    start = pages(core)
    handle = share(Buffer(bytearray(b"x") * (8 << 20)))
    children = [procession.get_context("fork").Process(target=hold_shared, args=(handle,)) for _ in range(3)]
    for child in children:
        child.start()
    del handle
    for child in children:
        child.kill()
        child.join()
        child.close()
    del child, children
    assert pages(core) <= start + SLABS, core.memory()


def hold_shared(handle: Any) -> None:
    view = memoryview(handle.get().data)
    while view[5] == ord("x"):
        time.sleep(1)
