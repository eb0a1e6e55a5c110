"""What the processes of the units run; importable, so that every start method finds it."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from procession_core import OwnerDiedError


def filler(number: int, size: int) -> bytes:
    """Bytes that tell whose they are."""
    return bytes([number % 251]) * size


def produce(queue: Any, sizes: list[int], done: Any, me: int) -> None:
    """Put numbered messages; ``done[me]`` says how many are certainly in."""
    for number, size in enumerate(sizes):
        queue.put((me, number, filler(number, size)))
        done[me] = number + 1


def consume(queue: Any, seen: Any, each: int) -> None:
    """Mark each message that comes, until None does."""
    while True:
        item = queue.get()
        if item is None:
            return
        me, number, data = item
        if data != filler(number, len(data)):
            os._exit(3)
        seen[me * each + number] += 1


def count(lock: Any, total: Any, own: Any, me: int, times: int) -> None:
    """Add to the total under the lock, then to one's own."""
    for _ in range(times):
        while True:
            try:
                lock.acquire()
                break
            except OwnerDiedError:
                continue
        before = total.value
        if me % 3 == 0:
            time.sleep(0)
        total.value = before + 1
        own[me] += 1
        lock.release()


def pass_on(condition: Any, turn: Any, me: int, parties: int, rounds: int) -> None:
    """Wait for one's turn and give it to the next."""
    for _ in range(rounds):
        with condition:
            if not condition.wait_for(lambda: turn.value % parties == me, 120):
                os._exit(4)
            turn.value += 1
            condition.notify_all()


def meet(barrier: Any, event: Any, rounds: int) -> None:
    """Meet the others; then wait for the event."""
    for _ in range(rounds):
        barrier.wait(120)
    if not event.wait(120):
        os._exit(4)


def task(number: int, size: int, rest: float) -> tuple[int, bytes]:
    """A task of a pool."""
    if rest:
        time.sleep(rest)
    return number * number, filler(number, size)


def echo(connection: Any, other: Any) -> None:
    """Send back what comes, until the other end, of which a fork has a copy, is closed."""
    if other is not None:
        other.close()
    while True:
        try:
            connection.send(connection.recv())
        except EOFError:
            return


def write_rows(rows: Any, log: Any, me: int, times: int) -> None:
    """Use proxies: each row is this process's own."""
    for number in range(times):
        rows[me] = number
        log.append((me, number))


def hold_segment(name: str, ready: Any, patience: float) -> None:
    """Attach to a segment, write to it, and stay."""
    from procession_shm import SharedMemory

    segment = SharedMemory(name)
    view = segment.buf
    view[:4] = b"here"
    ready.set()
    time.sleep(patience)


def end_with(code: int, depth: int, method: str, path: list[str]) -> None:
    """End with a code, after a child that ends with the same."""
    if depth:
        import procession

        child = procession.get_context(method).Process(target=end_with, args=(code, depth - 1, method, path))
        child.start()
        child.join()
        if child.exitcode != code:
            os._exit(99)
    sys.exit(code)


def fill_memory(limit: int, budget: int) -> None:
    """Take memory of the arena and of the process until it is refused, or *budget* bytes are had; let it go."""
    import resource

    import procession_native

    core: Any = procession_native.core
    here = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit, here))
    held: list[Any] = []
    own: list[bytearray] = []
    taken = 0
    try:
        while taken < budget:
            size = 1 << (12 + len(held) % 12)
            block = core.Block(size)
            memoryview(block)[::4096] = b"x" * (-(-size // 4096))
            held.append(block)
            own.append(bytearray(size))
            taken += size
    except MemoryError:
        pass
    del held[::2], own[::2]
    for block in held:
        if bytes(memoryview(block)[:1]) != b"x":
            os._exit(5)
