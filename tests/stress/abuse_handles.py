"""Handles that nobody has given out."""

from __future__ import annotations

import gc
import random
from typing import Any

from abuse_common import PATIENCE, require

import procession_queues
import procession_synchronize as sync
from procession_native import core


def forged_handles(rng: random.Random, size: int) -> None:
    """Handles with bits changed, of every kind, whole and half right: an exception or an object, never a crash."""
    queue: Any = procession_queues.Queue()
    made = [
        sync.Lock(),
        sync.RLock(),
        sync.Semaphore(2),
        sync.BoundedSemaphore(2, track_holders=True),
        sync.Event(),
        sync.Condition(),
        sync.Barrier(2),
        queue,
        core.Block(100),
        core.Block(1 << 20),
        core.Block(40 << 20),
    ]
    queue.put(made[0])
    queue.put(b"x" * 100_000)
    real = []
    for item in [
        core.Block(64),
        core.Block(1 << 20),
        core.Block(40 << 20),
        core.Queue(0, 0),
        core.Lock(),
        core.RLock(),
        core.Event(),
        core.Semaphore(1),
        core.Barrier(2),
        core.hold_refs([core.Lock()]),
    ]:
        made.append(item)
        real.append(item.handle())
    kinds = range(-2, 40)
    opened = 0
    for _ in range(4000 * size):
        arena, offset, generation, kind = rng.choice(real)
        what = rng.randrange(7)
        if what == 0:
            offset ^= 1 << rng.randrange(48)
        elif what == 1:
            generation ^= 1 << rng.randrange(48)
        elif what == 2:
            kind = rng.choice(kinds)
        elif what == 3:
            arena ^= 1 << rng.randrange(63)
        elif what == 4:
            offset = rng.randrange(1 << 41)
        elif what == 5:
            offset = (1 << 26) * rng.randrange(4) + 32 * rng.randrange(1 << 16)
            generation = rng.randrange(1, 200)
            kind = rng.choice(kinds)
        else:
            offset, generation = rng.randrange(-5, 1 << 64), rng.randrange(1 << 64)
        try:
            core.open_handle((arena, offset, generation, kind))
            opened += 1
        except (RuntimeError, ValueError, OverflowError, TypeError, MemoryError):
            pass
    for wrong in (
        None,
        (),
        (1, 2),
        (1, 2, 3, "x"),
        ("a", 2, 3, 4),
        (None,) * 4,
        (1.5, 2, 3, 4),
        [1, 2, 3, 4],
    ):
        try:
            core.open_handle(wrong)
            raise AssertionError(f"{wrong!r} is no handle")
        except (TypeError, ValueError, RuntimeError):
            pass
    gc.collect()
    require(core.check() is None, "the heap is damaged")
    require(
        queue.get(True, PATIENCE) is not None and len(queue.get(True, PATIENCE)) == 100_000,
        "the queue is damaged",
    )
    print(f"{opened} opened")
