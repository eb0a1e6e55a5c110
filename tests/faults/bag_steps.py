"""Kills a process at every store of every operation on a pipe's bag.  Run by test_bag_steps.py.

A program of its own, because it needs the build of the core that dies on request.  After each kill the survivors must
find the messages in flight either as they were or as they were to become, each with all or the first of its references,
a valid heap, and no memory lost once everything is closed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from procession_native import core

steps: dict[str, int] = {}


def settle() -> int:
    """Bytes in use, after the remains of what was dropped have been cleared away."""
    core.sweep()
    for _ in range(50):
        core.Block(1)
    return int(core.memory()["used"])


def campaign(
    name: str, ready: int, operation: Callable[[Any, list[Any], list[Any]], object], taken: set[int]
) -> None:
    """Run *operation* on a bag with *ready* messages in a child that dies at each of its stores in turn.

    *taken* are the positions of the messages which the operation takes out.
    """
    empty = settle()
    step = 0
    outcomes = set()
    while True:
        step += 1
        bag = core.Bag()
        blocks = [core.Block(100) for _ in range(3)]
        entries = [bag.put(blocks) for _ in range(ready)]
        pid = os.fork()
        if pid == 0:
            core.fault_set(step)
            operation(bag, entries, blocks)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        core.sweep()
        assert core.check() is None, (name, step, core.check())
        # The bag still works, from both ends of its list.
        late = bag.put(blocks)
        assert bag.take(*late) and not bag.take(*late), (name, step)
        left = [bag.take(*entry) for entry in reversed(entries)][::-1]
        gone = {position for position, found in enumerate(left) if not found}
        assert gone <= taken, (name, step, gone)
        outcomes.add(len(gone))
        assert not any(bag.take(*entry) for entry in entries), (name, step)
        assert core.check() is None, (name, step, core.check())
        del bag, blocks
        assert settle() == empty, (name, step, settle(), empty)
        if not os.WIFSIGNALED(status):
            assert gone == taken, (name, gone)
            break
    assert outcomes >= {0, len(taken)}, (name, outcomes)
    steps[name] = step - 1


def drop(bag: Any, entries: list[Any], blocks: list[Any]) -> None:
    """Close the last handles of a bag that has messages."""
    own = core.Bag()
    for _ in range(2):
        own.put(blocks)
    del own
    core.Block(1)


core.ensure()
campaign("put into empty", 0, lambda bag, entries, blocks: bag.put(blocks), set())
campaign("put behind", 2, lambda bag, entries, blocks: bag.put(blocks), set())
campaign("put nothing", 1, lambda bag, entries, blocks: bag.put([]), set())
campaign("take only", 1, lambda bag, entries, blocks: bag.take(*entries[0]), {0})
campaign("take first", 3, lambda bag, entries, blocks: bag.take(*entries[0]), {0})
campaign("take middle", 3, lambda bag, entries, blocks: bag.take(*entries[1]), {1})
campaign("take last", 3, lambda bag, entries, blocks: bag.take(*entries[2]), {2})
campaign("drop", 1, drop, set())
print(json.dumps(steps))
