"""The units: each uses one part of the family in rounds, kills some of its processes, and accounts for everything.

A unit is a function of a Tally; it runs in a process of its own. What a killed process may have had in its hands
is allowed to be missing, once for each kill; what is missing beyond that is lost.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import procession
from procession_core import AuthenticationError, OwnerDiedError, WorkerDiedError
from procession_pool import BrokenPoolError

from . import _children
from ._tally import PATIENCE, Tally, require


def _context(tally: Tally) -> Any:
    return procession.get_context(tally.random.choice(procession.get_all_start_methods()))


def _finish(tally: Tally, processes: list[Any], killed: set[Any], what: str) -> None:
    for process in processes:
        process.join(PATIENCE)
        if process.exitcode is None:
            tally.lost += 1
            process.kill()
            process.join()
            raise AssertionError(f"{what}: {process!r} did not end")
        if process not in killed:
            require(process.exitcode == 0, f"{what}: {process!r}")
        process.close()


def queues(tally: Tally) -> None:
    """Producers and consumers of one queue; both are killed."""
    random = tally.random
    while tally.more():
        context = _context(tally)
        producers, consumers, each = random.randint(1, 4), random.randint(1, 4), random.randint(50, 600)
        queue = context.Queue(random.choice((0, 1, 5, 100)))
        done = context.RawArray("q", producers)
        seen = context.RawArray("B", producers * each)
        sources, sinks = [], []
        for me in range(producers):
            sizes = [
                random.choice((0, 10, 200, 3000, 100_000)) if random.random() < 0.1 else 8
                for _ in range(each)
            ]
            sources.append(context.Process(target=_children.produce, args=(queue, sizes, done, me)))
        for _ in range(consumers):
            sinks.append(context.Process(target=_children.consume, args=(queue, seen, each)))
        for process in (*sources, *sinks):
            process.start()
        killed: set[Any] = set()
        for group in (sources, sinks):
            if len(group) > 1 and random.random() < 0.7:
                time.sleep(random.random() * 0.2)
                victim = random.choice(group)
                tally.kill(victim, random.random() < 0.3)
                killed.add(victim)
        gone = len(killed & set(sinks))
        _finish(tally, sources, killed, "queues")
        for _ in sinks:
            queue.put(None)
        _finish(tally, sinks, killed, "queues")
        missing = 0
        for me in range(producers):
            marks = bytes(seen[me * each : me * each + done[me]])
            require(max(marks, default=0) <= 1, "a message came twice")
            missing += marks.count(0)
        tally.lost += max(0, missing - gone)
        require(missing <= gone, f"{missing} messages are missing and {gone} consumers were killed")
        tally.operations += 2 * sum(done)


def locks(tally: Tally) -> None:
    """A total under a lock whose owners are killed; turns by a condition; a barrier and an event."""
    random = tally.random
    while tally.more():
        context = _context(tally)
        parties, times = random.randint(2, 5), random.randint(200, 5000)
        lock = random.choice((context.Lock, context.RLock))()
        total, own = context.RawValue("q"), context.RawArray("q", parties)
        crew = [
            context.Process(target=_children.count, args=(lock, total, own, me, times))
            for me in range(parties)
        ]
        for process in crew:
            process.start()
        killed: set[Any] = set()
        while len(killed) < parties - 1 and random.random() < 0.8:
            time.sleep(random.random() * 0.05)
            victim = random.choice([process for process in crew if process not in killed])
            tally.kill(victim, random.random() < 0.3)
            killed.add(victim)
        _finish(tally, crew, killed, "locks")
        require(
            sum(own) <= total.value <= sum(own) + len(killed),
            f"the total is {total.value}, the parts are {list(own)}, {len(killed)} were killed",
        )
        try:
            require(lock.acquire(True, PATIENCE), "the lock is not to be had")
            lock.release()
        except OwnerDiedError:
            pass
        tally.operations += sum(own)
        condition, turn, rounds = context.Condition(), context.RawValue("q"), random.randint(5, 60)
        barrier, event = context.Barrier(parties), context.Event()
        crew = [
            context.Process(target=_children.pass_on, args=(condition, turn, me, parties, rounds))
            for me in range(parties)
        ]
        crew += [
            context.Process(target=_children.meet, args=(barrier, event, rounds)) for _ in range(parties)
        ]
        for process in crew:
            process.start()
        event.set()
        _finish(tally, crew, set(), "locks")
        require(turn.value == parties * rounds, "a turn was lost")
        tally.operations += 2 * parties * rounds


def pools(tally: Tally) -> None:
    """A pool whose workers are killed: every task has its result, or its WorkerDiedError."""
    random = tally.random
    while tally.more():
        context = _context(tally)
        with context.Pool(random.randint(1, 4), maxtasksperchild=random.choice((None, None, 20))) as pool:
            stop = threading.Event()
            shots: list[int] = []

            def shoot(pool: Any = pool, stop: Any = stop, shots: list[int] = shots) -> None:
                while not stop.wait(random.random() * 0.5):
                    try:
                        os.kill(random.choice(pool._pool).pid, signal.SIGKILL)
                        shots.append(1)
                    except (ProcessLookupError, TypeError, IndexError):
                        continue

            shooter = threading.Thread(target=shoot)
            shooter.start()
            try:
                waiting = []
                for number in range(random.randint(100, 600)):
                    size = 200_000 if number % 50 == 0 else 20
                    rest = 0.01 if number % 20 == 0 else 0.0
                    waiting.append((number, size, pool.apply_async(_children.task, (number, size, rest))))
                for number, size, result in waiting:
                    try:
                        value = result.get(PATIENCE)
                    except WorkerDiedError:
                        continue
                    except BrokenPoolError:
                        require(len(shots) > 2, "the pool gave up without three kills in a row")
                        continue
                    except procession.TimeoutError:
                        tally.lost += 1
                        raise AssertionError(f"task {number} of {pool!r} has no result") from None
                    require(value == (number * number, _children.filler(number, size)), "a wrong result")
                tally.operations += len(waiting)
            finally:
                stop.set()
                shooter.join()
            tally.kills += len(shots)
            pool.close()
            pool.join()


def pipes(tally: Tally) -> None:
    """Messages go to and fro until the other end is killed."""
    random = tally.random
    while tally.more():
        context = _context(tally)
        ours, theirs = context.Pipe()
        # A fork has our end too, and would never see it closed.
        forked = context.get_start_method() == "fork"
        child = context.Process(target=_children.echo, args=(theirs, ours if forked else None))
        child.start()
        theirs.close()
        times, fatal = random.randint(20, 500), random.random() < 0.5
        for number in range(times):
            message = _children.filler(number, random.choice((0, 1, 100, 5000, 300_000)))
            if fatal and number == times // 2:
                tally.kill(child, random.random() < 0.3)
            try:
                ours.send(message)
                require(ours.poll(PATIENCE), "no answer")
                require(ours.recv() == message, "another message came back")
            except (EOFError, ConnectionError):
                require(fatal and number >= times // 2, "the pipe broke by itself")
                break
            tally.operations += 1
        ours.close()
        _finish(tally, [child], {child} if fatal else set(), "pipes")


def managers(tally: Tally) -> None:
    """Proxies are used by clients that are killed; sometimes the server is."""
    random = tally.random
    while tally.more():
        context = _context(tally)
        manager = context.Manager()
        try:
            rows, log = manager.dict(), manager.list()
            clients, times = random.randint(1, 3), random.randint(5, 100)
            crew = [
                context.Process(target=_children.write_rows, args=(rows, log, me, times))
                for me in range(clients)
            ]
            for process in crew:
                process.start()
            killed: set[Any] = set()
            if random.random() < 0.5:
                time.sleep(random.random() * 0.1)
                victim = random.choice(crew)
                tally.kill(victim)
                killed.add(victim)
            survivors = [me for me, process in enumerate(crew) if process not in killed]
            _finish(tally, crew, killed, "managers")
            found = log[:]
            for me in survivors:
                require(rows[me] == times - 1, "a row has another value")
                require([n for who, n in found if who == me] == list(range(times)), "the log is not in order")
            tally.operations += 2 * len(found)
            if random.random() < 0.2:
                os.kill(manager._process.pid, signal.SIGKILL)
                tally.kills += 1
                try:
                    len(rows)
                except (EOFError, ConnectionError, AuthenticationError):
                    pass
                else:
                    raise AssertionError("a dead server has answered")
        finally:
            manager.shutdown()


def segments(tally: Tally) -> None:
    """Named segments, held by processes that are killed; none may stay behind."""
    random = tally.random
    while tally.more():
        context = _context(tally)
        segment = procession.shared_memory.SharedMemory(
            create=True, size=random.choice((10, 5000, 3_000_000))
        )
        ready = context.Event()
        child = context.Process(target=_children.hold_segment, args=(segment.name, ready, 2 * PATIENCE))
        child.start()
        require(ready.wait(PATIENCE), "the child has not attached")
        require(bytes(segment.buf[:4]) == b"here", "what the child wrote is not there")
        tally.kill(child)
        _finish(tally, [child], {child}, "segments")
        name = segment.name
        segment.close()
        segment.unlink()
        require(not os.path.exists(f"/dev/shm/{name.lstrip('/')}"), f"{name} is still there")
        tally.operations += 3


def births(tally: Tally) -> None:
    """Processes and their children by all start methods, with the exit codes that they ought to have."""
    random = tally.random
    while tally.more():
        crew = []
        for _ in range(random.randint(1, 6)):
            code = random.randint(0, 90)
            method = random.choice(procession.get_all_start_methods())
            process = _context(tally).Process(
                target=_children.end_with, args=(code, random.randint(0, 2), method, [])
            )
            process.start()
            crew.append((process, code))
        victim = random.choice(crew)[0] if random.random() < 0.3 else None
        if victim is not None:
            time.sleep(random.random() * 0.05)
            victim.terminate_tree(1.0)
            tally.kills += 1
        for process, code in crew:
            process.join(PATIENCE)
            if process is not victim:
                require(process.exitcode == code, f"{process!r} should have ended with {code}")
            require(process.exitcode is not None, f"{process!r} did not end")
            process.close()
            tally.operations += 1


def pressure(tally: Tally) -> None:
    """Memory is taken until it is refused, by processes that are killed meanwhile."""
    random = tally.random
    while tally.more():
        context = _context(tally)
        limit = random.choice((300 << 20, 600 << 20))
        child = context.Process(target=_children.fill_memory, args=(limit, 150 << 20))
        child.start()
        killed: set[Any] = set()
        if random.random() < 0.5:
            time.sleep(random.random() * 0.2)
            tally.kill(child)
            killed.add(child)
        _finish(tally, [child], killed, "pressure")
        tally.operations += 1


UNITS = {unit.__name__: unit for unit in (births, locks, managers, pipes, pools, pressure, queues, segments)}


def run_unit(name: str, seed: str, seconds: float, results: Any) -> None:
    """In the unit's own process: run it and send its figures, or its error, to *results*."""
    import traceback

    tally = Tally(f"{seed}/{name}", seconds)
    error = None
    try:
        UNITS[name](tally)
    except BaseException:
        error = traceback.format_exc()
    results.send((name, tally.figures(), error))
    results.close()
