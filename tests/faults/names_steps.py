"""Kills a process at every store of every operation on tracked names.  Run by test_names_steps.py.

A program of its own, because it needs the build of the core that dies on request.  After each kill the survivor must
find the names either as they were or as they were to become, a valid heap, and memory used as before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from procession_native import core

steps: dict[str, int] = {}


def campaign(name: str, operation: Callable[[], object], before: list[str], after: list[str]) -> None:
    sizes: dict[tuple[str, ...], int] = {}
    step = 0
    while True:
        step += 1
        for old in core.names_list():
            core.names_discard(old)
        for new in before:
            core.names_add(new)
        pid = os.fork()
        if pid == 0:
            core.fault_set(step)
            operation()
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        core.sweep()
        names = sorted(core.names_list())
        assert names in (before, after), (name, step, names)
        assert core.check() is None, (name, step, core.check())
        used = core.memory()["used"]
        assert sizes.setdefault(tuple(names), used) == used, (name, step, names, sizes, used)
        if not os.WIFSIGNALED(status):
            break
    assert names == after, (name, names)
    steps[name] = step - 1


core.ensure()
pid = os.fork()
if pid == 0:
    # The first name of all makes the table.
    core.fault_set(20)
    core.names_add("/first")
    os._exit(0)
os.waitpid(pid, 0)
core.sweep()
assert core.check() is None
core.names_add("/first")
campaign("add", lambda: core.names_add("/b"), ["/a"], ["/a", "/b"])
campaign("add again", lambda: core.names_add("/a"), ["/a"], ["/a"])
campaign("discard", lambda: core.names_discard("/b"), ["/a", "/b"], ["/a"])
campaign("leave", core.names_leave, ["/a"], ["/a"])
print(json.dumps(steps))
