"""Programs that treat shared objects badly.  Run by test_abuse.py, one scenario a process: ``abuse.py NAME SEED SIZE``.

Each scenario ends by itself, and says what went wrong by an exception.  Children are forked with ``os.fork()``,
because what is tested is what the core makes of it.
"""

from __future__ import annotations

import faulthandler
import os
import random
import resource
import signal
import sys
import threading
import time
from typing import Any

from abuse_common import PATIENCE, all_good, fork, reap, require, square, take, until
from abuse_handles import forged_handles
from abuse_signals import deaths_in_a_storm, interrupts, signal_storm

import procession_connection
import procession_queues
import procession_synchronize as sync
from procession_core import WorkerDiedError
from procession_native import core
from procession_pool import Pool

# -- pools ---------------------------------------------------------------------------------------------------


def pools_under_fire(rng: random.Random, size: int) -> None:
    """Workers of one pool are killed at random; the other one's results are right all the time."""
    with Pool(3) as target, Pool(2) as bystander:
        stop = threading.Event()
        shots: list[int] = []

        def shoot() -> None:
            while not stop.wait(rng.random() * 0.02):
                workers = target._pool
                if workers:
                    try:
                        os.kill(rng.choice(workers).pid, signal.SIGKILL)
                        shots.append(1)
                    except (ProcessLookupError, TypeError):
                        continue

        killer = threading.Thread(target=shoot)
        killer.start()
        lost = 0
        try:
            end = time.monotonic() + 2 * size
            while time.monotonic() < end:
                mapped = bystander.map_async(square, range(200))
                walk = target.imap(square, range(200))
                for x in range(200):
                    try:
                        require(walk.next(PATIENCE) == x * x, "a wrong result after a worker's death")
                    except WorkerDiedError:
                        lost += 1
                try:
                    got = target.map_async(square, range(200)).get(PATIENCE)
                    require(got == [x * x for x in range(200)], "wrong results after a worker's death")
                except WorkerDiedError:
                    lost += 1
                require(mapped.get(PATIENCE) == [x * x for x in range(200)], "another pool's deaths are felt")
        finally:
            stop.set()
            killer.join()
        require(len(shots) >= 5, "hardly a worker was hit")
        print(f"{lost} tasks lost to {len(shots)} kills")


# -- stopped processes ------------------------------------------------------------------------------------------


def stopped(rng: random.Random, size: int) -> None:
    """Owners of locks, producers and consumers are stopped and continued at random; everything is accounted for."""
    lock, counter = sync.Lock(), core.Block(8, zero=True)
    condition, turn = sync.Condition(), core.Block(8, zero=True)
    work: Any = procession_queues.Queue(50)
    results: Any = procession_queues.Queue()
    rounds, producers, consumers = 60_000 * size, 2, 2

    def count(block: Any, add: int = 0) -> int:
        view = memoryview(block).cast("q")
        view[0] += add
        return int(view[0])

    def produce(number: int) -> None:
        for k in range(rounds):
            work.put((number, k), True, PATIENCE)
            with lock:
                count(counter, 1)

    def consume() -> None:
        while (item := work.get(True, PATIENCE)) is not None:
            with condition:
                count(turn, 1)
                condition.notify_all()
            results.put(item)

    def watch() -> None:
        with condition:
            require(
                condition.wait_for(lambda: count(turn) >= producers * rounds, 2 * PATIENCE),
                "a notification was lost",
            )

    workers = [fork(lambda n=n: produce(n)) for n in range(producers)]
    readers = [fork(consume) for _ in range(consumers)] + [fork(watch)]
    live = set(workers + readers)
    stop = threading.Event()

    def disturb() -> None:
        while not stop.wait(rng.random() * 0.004):
            pid = rng.choice(sorted(live))
            os.kill(pid, signal.SIGSTOP)
            stop.wait(rng.random() * 0.03)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=disturb)
    thread.start()
    got = sorted(results.get(True, PATIENCE) for _ in range(producers * rounds))
    stop.set()
    thread.join()
    for _ in range(consumers):
        work.put(None)
    all_good(workers + readers)
    require(got == sorted((n, k) for n in range(producers) for k in range(rounds)), "items lost or doubled")
    require(count(counter) == producers * rounds, "the lock did not exclude")


# -- descriptors, forks, exec ------------------------------------------------------------------------------------


def closed_descriptors(rng: random.Random, size: int) -> None:
    """Children close every descriptor above 2 and go on using what they share."""
    lock, event, semaphore, barrier = sync.Lock(), sync.Event(), sync.Semaphore(0), sync.Barrier(4)
    condition = sync.Condition()
    there: Any = procession_queues.Queue()
    back: Any = procession_queues.Queue(3)

    def child() -> None:
        os.closerange(3, 4096)
        with condition:
            semaphore.release()
            require(condition.wait(PATIENCE), "no notification without descriptors")
        require(event.wait(PATIENCE), "no event without descriptors")
        barrier.wait(PATIENCE)
        for _ in range(50 * size):
            take(lock)
            lock.release()
            back.put(there.get(True, PATIENCE) + b"x", True, PATIENCE)
        grandchild = os.fork()
        if grandchild == 0:
            take(lock)
            back.put(b"grandchild", True, PATIENCE)
            lock.release()
            os._exit(0)
        require(reap(grandchild) == 0, "a grandchild failed")

    pids = [fork(child) for _ in range(3)]
    for _ in pids:
        require(semaphore.acquire(True, PATIENCE), "a child did not come")
    with condition:
        condition.notify_all()
    event.set()
    barrier.wait(PATIENCE)
    sizes = [rng.choice((0, 10, 1000, 100_000)) for _ in range(3 * 50 * size)]
    feeder = threading.Thread(target=lambda: [there.put(bytes(n)) for n in sizes])
    feeder.start()
    got = [back.get(True, PATIENCE) for _ in range(len(sizes) + 3)]
    feeder.join()
    all_good(pids)
    expected = sorted([n + 1 for n in sizes] + [len(b"grandchild")] * 3)
    require(sorted(map(len, got)) == expected, "messages lost")


def forks_in_threads(rng: random.Random, size: int) -> None:
    """Threads fork while they and others hold locks; the children meet locks that their parent holds."""
    locks = [sync.Lock() for _ in range(3)]
    rlock = sync.RLock()
    wrong: list[BaseException] = []

    def child(held: int, queue: Any) -> None:
        require(not locks[held].acquire(False), "a fork does not inherit ownership")
        with rlock:
            queue.put(os.getpid())
        take(locks[held])
        locks[held].release()

    def run(seed: int) -> None:
        mine = random.Random(seed)
        queue: Any = procession_queues.Queue()
        try:
            for _ in range(8 * size):
                held = mine.randrange(3)
                with locks[held]:
                    pid = fork(lambda: child(held, queue))
                    require(queue.get(True, PATIENCE) > 0, "nothing came")
                require(reap(pid) == 0, "a child of a thread failed")
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(rng.random(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    require(not any(lock.locked() for lock in locks), "a lock stays held")


def grandchildren(rng: random.Random, size: int) -> None:
    """A tree of processes, each with a queue that it sends up; every message finds its way."""
    depth, width = 3, 2 + size % 3

    def node(level: int, up: Any) -> None:
        own: Any = procession_queues.Queue()
        answer: Any = procession_queues.Queue()
        up.put((level, answer))
        if level:
            pids = [fork(lambda: node(level - 1, own)) for _ in range(width)]
            for _ in pids:
                below, queue = own.get(True, PATIENCE)
                require(below == level - 1, "a message of another level")
                queue.put("hello")
            all_good(pids)
        require(answer.get(True, PATIENCE) == "hello", "no answer")

    root: Any = procession_queues.Queue()
    pid = fork(lambda: node(depth, root))
    level, queue = root.get(True, PATIENCE)
    require(level == depth, "a message of another level")
    queue.put("hello")
    require(reap(pid) == 0, "the tree failed")


def execs(rng: random.Random, size: int) -> None:
    """Children that hold things and call exec: what they held comes back, as after a death."""
    lock, tracked = sync.Lock(), sync.BoundedSemaphore(2, track_holders=True)
    queue: Any = procession_queues.Queue()
    event = sync.Event()

    def child(block: Any) -> None:
        tracked.acquire()
        take(lock)
        queue.put(os.getpid())
        os.execv("/bin/sleep", ["sleep", "60"])

    for _ in range(3 * size):
        block = core.Block(1 << 16)
        pid = fork(lambda: child(block))
        require(queue.get(True, PATIENCE) == pid, "the child did not come")
        require(
            not take(lock), "the lock of a process that called exec was given up by nobody, and yet is free"
        )
        for _ in range(2):
            require(tracked.acquire(True, PATIENCE), "the permit of a process that called exec is lost")
        tracked.release()
        tracked.release()
        if lock.locked():
            lock.release()
        until(lambda: (core.sweep(), block.references() == 1)[1], "what it held is still counted")
        os.kill(pid, signal.SIGKILL)
        reap(pid)
    del event


# -- limits ---------------------------------------------------------------------------------------------------


def limits(rng: random.Random, size: int) -> None:
    """Children with little address space, small files or few descriptors: they work or get an error, others go on."""
    queue: Any = procession_queues.Queue()
    lock = sync.Lock()

    def use() -> None:
        kept = []
        for k in range(40 * size):
            try:
                take(lock)
                lock.release()
                queue.put((k, b"x" * rng.choice((1, 1000, 200_000, 20_000_000))))
                kept.append(sync.Event())
                kept.append(core.Block(rng.choice((100, 100_000, 30_000_000))))
                queue.get(True, PATIENCE)
                procession_connection.Pipe()
            except (MemoryError, OSError):
                kept.clear()

    def address_space() -> None:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (96 << 20),) * 2)
        use()

    def file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20,) * 2)
        use()

    def descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (8,) * 2)
        use()

    for child in (file_size, descriptors, address_space):
        code = reap(fork(child))
        require(code == 0, f"{child.__name__}: exit code {code}")
        take(lock)
        lock.release()
        require(core.check() is None, f"{child.__name__}: the heap is damaged")
        queue.put(b"after")
        while queue.get(True, PATIENCE) != b"after":
            pass


def crowd(rng: random.Random, size: int) -> None:
    """Very many processes on one lock, one condition, one barrier, one queue."""
    many = 70 * size
    lock, barrier, counter = sync.Lock(), sync.Barrier(many), core.Block(8, zero=True)
    condition, queue = sync.Condition(), procession_queues.Queue(10)

    def child(number: int) -> None:
        view = memoryview(counter).cast("q")
        barrier.wait(PATIENCE)
        for _ in range(5):
            with lock:
                view[0] += 1
        with condition:
            queue.put(number, True, PATIENCE)
            require(condition.wait(PATIENCE), "a notification was lost in the crowd")
        barrier.wait(PATIENCE)

    pids = [fork(lambda n=n: child(n)) for n in range(many)]
    came = sorted(queue.get(True, PATIENCE) for _ in range(many))
    with condition:
        condition.notify_all()
    all_good(pids)
    require(came == list(range(many)), "messages lost in the crowd")
    require(memoryview(counter).cast("q")[0] == 5 * many, "the lock did not exclude")


SCENARIOS = (
    pools_under_fire, stopped, closed_descriptors, forks_in_threads, grandchildren, execs, limits, crowd, signal_storm,
    deaths_in_a_storm, interrupts, forged_handles,
)  # fmt: skip


def main() -> None:
    faulthandler.enable()
    faulthandler.dump_traceback_later(PATIENCE * 1.5, exit=True)
    name, seed, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    scenario = {s.__name__: s for s in SCENARIOS}[name]
    scenario(random.Random(seed), size)
    require(core.check() is None, "the heap is damaged")


if __name__ == "__main__":
    main()
