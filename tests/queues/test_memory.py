"""Many large messages: the memory that they travel in is used again and again."""

from __future__ import annotations

import os
import pickle

import pytest

from procession_process import Process
from procession_queues import Queue, SimpleQueue
from procession_shm import memory, native

COUNT = 10_000
SIZE = 1 << 20


def put_arrays(queue, count):
    source = bytearray(SIZE)
    for turn in range(count):
        source[:8] = source[-8:] = turn.to_bytes(8, "little")
        queue.put(pickle.PickleBuffer(source))


def pages():
    return os.fstat(native.fds()[0]).st_blocks * 512


@pytest.mark.native_only
@pytest.mark.timeout(300)
@pytest.mark.parametrize("make", [lambda: Queue(4), lambda: Queue(maxbytes=8 << 20), SimpleQueue])
def test_ten_thousand_arrays_leave_memory_flat(make):
    queue = make()
    # Earlier tests leave free memory, which the arena keeps, and processes that are about to end.
    held, kept = memory()["used"], pages()
    count = COUNT if isinstance(queue, Queue) else COUNT // 10
    child = Process(target=put_arrays, args=(queue, count))
    child.start()
    used = pages()
    for turn in range(count):
        array = memoryview(queue.get())
        assert array.nbytes == SIZE
        assert bytes(array[:8]) == bytes(array[-8:]) == turn.to_bytes(8, "little")
        array.release()
        if turn == 200:
            used = pages()
    child.join(20)
    assert child.exitcode == 0
    native.sweep()
    if isinstance(queue, Queue):
        assert pages() <= used + (8 << 20), "the arena grew"
        assert pages() < kept + (64 << 20)
    assert memory()["used"] < held + (8 << 20)
