"""Objects of more than four gigabytes: lengths and offsets that do not fit 32 bits."""

from __future__ import annotations

import mmap
import pickle
from typing import Any

import pytest

from procession_connection import Pipe
from procession_queues import Queue
from procession_shm import SharedMemory, native
from tests.queues.children import finish, start

SIZE = (4 << 30) + (300 << 20) + 13
MARKS = {0: 1, (1 << 32) - 1: 2, 1 << 32: 3, (1 << 32) + 5: 4, SIZE - 1: 5}
pytestmark = [pytest.mark.stress, pytest.mark.linux_only, pytest.mark.timeout(300)]


def available() -> int:
    with open("/proc/meminfo") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["MemAvailable"].split()[0]) * 1024


def mark(view: Any) -> None:
    for at, value in MARKS.items():
        view[at] = value


def check(view: Any) -> None:
    assert len(view) == SIZE
    assert {at: view[at] for at in MARKS} == MARKS


def mark_it(queue: Any, answers: Any) -> None:
    block = queue.get(timeout=60)
    mark(memoryview(block).cast("B"))
    answers.put("marked")


@pytest.mark.native_only
def test_a_sparse_block_is_sent() -> None:
    before = native.memory()["used"]
    queue, answers = Queue(), Queue()
    child = start("fork", mark_it, queue, answers)
    block = native.Block(SIZE)
    queue.put(block)
    assert answers.get(timeout=60) == "marked"
    finish(child)
    with memoryview(block) as view:
        check(view)
    del block
    native.sweep()
    assert native.memory()["used"] - before < 1 << 20


def test_sparse_shared_memory() -> None:
    first = SharedMemory(create=True, size=SIZE)
    try:
        second = SharedMemory(first.name)
        mark(first.buf)
        assert {at: second.buf[at] for at in MARKS} == MARKS
        second.close()
    finally:
        first.close()
        first.unlink()


def send_it(there: Any) -> None:
    with mmap.mmap(-1, SIZE) as source:
        mark(source)
        there(pickle.PickleBuffer(source))


@pytest.mark.native_only
@pytest.mark.parametrize("kind", ["queue", "pipe"])
def test_a_message(kind: str, sample: bool) -> None:
    if sample or available() < 3 * SIZE:
        pytest.skip("needs gigabytes of memory and seconds")
    before = native.memory()["used"]
    if kind == "queue":
        queue = Queue()
        child = start("fork", send_it, queue.put)
        found = queue.get(timeout=200)
    else:
        reading, writing = Pipe(False)
        child = start("fork", send_it, writing.send)
        found = reading.recv()
    with memoryview(found) as view:
        check(view.cast("B"))
    finish(child)
    del found
    native.sweep()
    native.trim()
    assert native.memory()["used"] - before < 1 << 20
