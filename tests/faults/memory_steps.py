"""Refuses memory at every mapping that an operation on shared objects needs.  Run by test_memory_steps.py.

A program of its own, because it needs the build of the core that refuses on request.  The arena's objects lie in
several windows.  For each operation and k = 1, 2, … a forked child forgets all windows but the first, is refused the
k-th mapping and all later ones, and runs the operation, which must succeed or raise MemoryError.  Then mappings succeed
again, and the operation must too; nothing may be damaged or left behind.
"""

from __future__ import annotations

import gc
import json
import os
import pickle
import signal
import sys
from collections.abc import Callable
from typing import Any

from killing import reap, require

import procession_shm  # noqa: F401 -- binds the core's errors
import procession_synchronize as sync
from procession_connection import Pipe
from procession_core import StaleHandleError
from procession_native import core
from procession_process import ForkProcess
from procession_queues import Empty, Queue

WINDOW = 1 << 26
STEPS: dict[str, int] = {}
FILL: list[Any] = []


def window_of(shared: Any) -> int:
    return int(shared.handle()[1]) // WINDOW


def fill_window() -> None:
    """Make new objects go to a window that has none yet."""
    sizes = (12 << 20, 1 << 20, 100_000, 40_000, 17_000)
    here = window_of(core.Block(12 << 20))
    for size in sizes:
        while True:
            block = core.Block(size)
            if window_of(block) > here:
                break
            FILL.append(block)


class Site:
    """Objects of every kind, in one window as far as the heap wants it."""

    def __init__(self) -> None:
        self.block = core.Block(40_000)
        self.lock = sync.Lock()
        self.condition = sync.Condition()
        self.queue = Queue()
        for i in range(30):  # several chunks, with and without references
            self.queue.put([i, sync.Lock(), b"x" * 3000])
            self.queue.put(b"y" * 30_000)
        self.bag = core.Bag()
        self.entry = self.bag.put([self.block, core.Block(30_000)])
        self.parcel = core.hold_refs([core.Block(20_000), self.block])


def settle() -> int:
    gc.collect()
    core.sweep()
    core.sweep()
    return int(core.memory()["used"])


def child(run: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            run()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def campaign(
    name: str, make: Callable[[], Any], operation: Callable[[Any], Any], errors: Any = MemoryError
) -> None:
    """*make* prepares in the parent, *operation* runs in the child, again and again until it succeeds."""
    start = settle()
    k = 0
    refused = True
    while refused:
        k += 1
        made = make()
        reading, writing = os.pipe()

        def run() -> None:
            core.fault_forget()
            core.fault_refuse(k)
            try:
                operation(made)
            except errors:
                os.write(writing, b"r")
            core.fault_refuse(0)
            wrong = core.check()
            require(wrong is None, f"{name}, refused at {k}: {wrong}")
            operation(made)
            wrong = core.check()
            require(wrong is None, f"{name}, after it was refused at {k}: {wrong}")

        require(reap(child(run)) == 0, f"{name}: refused at mapping {k}")
        os.close(writing)
        refused = os.read(reading, 1) == b"r"
        os.close(reading)
        require(core.check() is None, f"{name}, refused at {k}: {core.check()}")
        del made
        left = settle() - start
        require(left == 0, f"{name}, refused at {k}: {left} bytes are not given back")
        require(k < 100, f"{name} needs more mappings than there are windows")
    STEPS[name] = k - 1


def opened(shared: Any) -> Any:
    """The same object, but found through its handle: its window is mapped anew."""
    if type(shared).__module__.startswith("procession_native"):
        return core.open_handle(shared.handle())
    return pickle.loads(pickle.dumps(shared))


def main() -> None:
    core.ensure()
    sites = []
    for _ in range(4):
        sites.append(Site())
        fill_window()
    # What earlier objects left free in the first window would be used before all else.
    while (
        window_of(cell := sync.Lock()) == 0
        or window_of(queue := Queue()) == 0
        or window_of(core.Block(1000)) == 0
    ):
        FILL.append(cell)
        FILL.append(core.Block(1000))
        FILL.append(Queue())
    del cell, queue
    sites.append(Site())
    require(len({window_of(s.block) for s in sites}) >= 4, "the objects lie in too few windows")
    last = sites[-1]

    def new_blocks(_: Any) -> None:
        keep = [core.Block(size) for size in (10, 1000, 5000, 40_000, 300_000, 20 << 20)]
        keep.append(core.Block(50_000, zero=True))
        del keep

    def open_all(_: Any) -> None:
        for site in sites:
            for shared in (site.block, site.lock, site.condition, site.bag, site.parcel):
                opened(shared)

    def make_queue() -> Any:
        q = Queue()
        for i in range(20):
            q.put([i, sync.Lock(), b"x" * 3000])
        for site in sites:
            q.put([site.lock, core.Block(9000)])
        return q

    def read_queue(q: Any) -> None:
        mine = opened(q)
        for _ in range(6):
            mine.get(timeout=0)

    def write_queue(q: Any) -> None:
        mine = opened(q)
        for _ in range(30):
            mine.put(b"z" * 12_000)
        mine.put([opened(last.lock), b"z" * 3000])

    def shut_queue(q: Any) -> None:
        opened(q).shutdown(immediate=True)

    def drop_queue(q: Any) -> None:
        mine = opened(q)
        mine.qsize()
        del mine

    def references(_: Any) -> None:
        core.hold_refs([opened(s.block) for s in sites])

    def bag(_: Any) -> None:
        mine = opened(last.bag)
        entry = mine.put([opened(s.block) for s in sites])
        mine.take(*entry)

    def conditions(_: Any) -> None:
        for site in sites:
            made = sync.Condition(opened(site.lock))
            with made:
                made.wait(0.001)
                made.notify_all()

    def look(_: Any) -> None:
        core.memory()
        core.trim()
        for process in core.processes():
            core.slot_memory(process["slot"])

    def dead_holder() -> Any:
        """A dead process that holds a reference on everything, and nobody has noticed yet."""
        pid = child(lambda: os.kill(os.getpid(), signal.SIGKILL))
        os.waitpid(pid, 0)
        return pid

    def sweep(_: Any) -> None:
        core.sweep()
        core.Block(10)
        core.sweep()

    nothing = lambda: None  # noqa: E731
    campaign("new blocks", nothing, new_blocks)
    campaign("open", nothing, open_all)
    campaign("queue made", nothing, lambda _: Queue())
    campaign("queue read", make_queue, read_queue)
    campaign("queue written", make_queue, write_queue)
    campaign("queue shut down", make_queue, shut_queue)
    campaign("queue dropped", make_queue, drop_queue)
    campaign("references held", nothing, references)
    campaign("bag", nothing, bag)
    campaign("conditions", nothing, conditions)
    campaign("memory looked at", nothing, look)
    campaign("dead holder", dead_holder, sweep)
    repairs(last, sites[1].queue)
    forks(sites)
    print(json.dumps({"steps": STEPS, "branches": core.fault_branches()}))


def repairs(site: Site, queue: Any) -> None:
    """A process dies within a transaction; the one that finds it so may not map what the log names."""
    k = met = 0
    while not queue.empty():
        queue.get()
    while True:
        k += 1
        start = settle()
        queue.put([1, sync.Lock(), b"x" * 3000])

        def die() -> None:
            core.fault_set(k)
            queue.get()
            queue.put([2, site.lock, b"x" * 60_000])
            core.fault_set(0)

        reading, writing = os.pipe()
        ready, go = os.pipe()

        def survive() -> None:
            os.close(go)
            core.fault_forget()
            mine = opened(queue)
            os.read(ready, 1)
            core.fault_refuse(1)
            attempts: tuple[Callable[[], Any], ...] = (
                lambda: mine.put([3, b"y" * 3000]),
                lambda: mine.get(timeout=0),
                lambda: core.Block(10),
                lambda: mine.qsize(),
            )
            for attempt in attempts:
                try:
                    attempt()
                except (MemoryError, Empty):
                    os.write(writing, b"m")
            core.fault_refuse(0)
            mine = opened(queue)
            mine.put([4, b"y" * 60_000])
            require(core.check() is None, f"repair at {k}: {core.check()}")

        # Forked first: a fork takes the arena's lock, and its parent would repair.
        survivor = child(survive)
        ended = os.waitstatus_to_exitcode(os.waitpid(child(die), 0)[1]) == 0
        os.close(go)
        os.close(ready)
        require(reap(survivor) == 0, f"a survivor of a death at {k} that is refused memory")
        os.close(writing)
        met += bool(os.read(reading, 1))
        os.close(reading)
        core.sweep()
        require(core.check() is None, f"repair at {k}: {core.check()}")
        while not queue.empty():
            last = queue.get(timeout=5)
        require(last[0] == 4, f"repair at {k}: the queue ends with {last[0]}")
        del last
        left = settle() - start
        require(left == 0, f"repair at {k}: {left} bytes are not given back")
        if ended:
            break
    STEPS["repairs"] = k - 1
    STEPS["repairs refused"] = met


def severed(sites: list[Site]) -> None:
    """In a child that was forked without a slot or references: everything fails cleanly, and nothing reaches others."""
    site = sites[-1]
    event, semaphore, barrier = EVENT, SEMAPHORE, BARRIER
    attempts: list[Callable[[], Any]] = [
        lambda: core.Block(10), lambda: sync.Lock(), lambda: site.lock.acquire(), lambda: site.lock.acquire(False),
        lambda: site.condition.acquire(), lambda: semaphore.acquire(), lambda: semaphore.release(), lambda: event.set(),
        lambda: event.clear(), lambda: event.wait(0), lambda: barrier.wait(0.01), lambda: site.queue.get(),
        lambda: site.queue.put(1), lambda: site.queue.qsize(), lambda: opened(site.block),
        lambda: core.hold_refs([site.block]), lambda: site.bag.put([site.block]), lambda: core.memory(),
        lambda: core.reserve_slot("child"),
        lambda: PIPE[0].send(1),
        lambda: PIPE[1].send([2, sites[0].lock]),
        lambda: PIPE[1].recv(),
    ]  # fmt: skip
    for number, attempt in enumerate(attempts):
        try:
            result = attempt()
        except StaleHandleError:
            continue
        raise AssertionError(f"attempt {number} gave {result!r} in a process that shares nothing")
    memoryview(site.block)[:4] = b"oops"
    require(reap(child(lambda: None)) == 0, "a severed process cannot fork")
    core.sweep(), core.processes(), core.check(), core.trim(), core.settle()
    attempts.clear()
    sites.clear()
    gc.collect()


def site_lock(lock: Any) -> None:
    with lock:
        pass


def forks(sites: list[Site]) -> None:
    global EVENT, SEMAPHORE, BARRIER, PIPE
    PIPE = Pipe()
    PIPE[0].send([1, 2])
    EVENT, SEMAPHORE, BARRIER = sync.Event(), sync.Semaphore(3), sync.Barrier(2)
    for s in sites:
        memoryview(s.block)[:4] = b"good"
    start = settle()

    def told(pid: int) -> None:
        require(core.forked(pid) is False, "the parent is not told that the child shares nothing")

    core.fault_refuse_slots(True)
    try:
        core.reserve_slot("child")
    except RuntimeError:
        pass
    else:
        raise AssertionError("a slot where none is")
    pid = child(lambda: severed(list(sites)))
    told(pid)
    core.fault_refuse_slots(False)
    require(reap(pid) == 0, "a child without a slot")

    core.set_limit(int(core.memory()["used"]))
    pid = child(lambda: severed(list(sites)))
    told(pid)
    process = ForkProcess(target=print, args=("this must not run",))
    try:
        process.start()
    except MemoryError:
        pass
    else:
        raise AssertionError("a child was started that shares nothing")
    core.set_limit(None)
    require(reap(pid) == 0, "a child without references")
    process = ForkProcess(target=site_lock, args=(sites[0].lock,))
    process.start()
    process.join()
    require(process.exitcode == 0, "a process after those that could not be started")
    require(
        all(bytes(memoryview(s.block)[:4]) == b"good" for s in sites),
        "a severed process has written to the arena",
    )
    require(SEMAPHORE.get_value() == 3 and not EVENT.is_set(), "a severed process has changed shared objects")
    pid = child(lambda: None)
    require(core.forked(pid) is True and reap(pid) == 0, "a fork afterwards")
    require(settle() == start, f"{settle() - start} bytes are not given back after forks without memory")
    require(all(p["alive"] for p in core.processes()) and core.check() is None, f"{core.processes()}")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        sys.exit(str(error))
