"""sync.*: locks, semaphores, events, conditions, barriers."""

from __future__ import annotations

import mmap
from time import perf_counter
from typing import Any

from bench._crew import Crew
from bench._measure import Sample, Scale, case, check, per_call


def _shared_words(count: int) -> memoryview:
    """Integers that forked children share, made without the implementation under test."""
    return memoryview(mmap.mmap(-1, 8 * count)).cast("q")


def _acquire_release(lock: Any, scale: Scale) -> Sample:
    def loop(n: int) -> None:
        acquire, release = lock.acquire, lock.release
        for _ in range(n):
            acquire()
            release()

    seconds = per_call(loop, scale, start=5000)
    check(lock.acquire(False), "it is not free after as many releases as acquisitions")
    lock.release()
    return Sample(seconds * 1e9, "ns")


@case("sync.lock")
def lock(mp: Any, scale: Scale) -> Sample:
    """Lock, uncontended."""
    return _acquire_release(mp.Lock(), scale)


@case("sync.rlock")
def rlock(mp: Any, scale: Scale) -> Sample:
    """RLock, uncontended."""
    return _acquire_release(mp.RLock(), scale)


@case("sync.semaphore")
def semaphore(mp: Any, scale: Scale) -> Sample:
    """Semaphore(4), uncontended."""
    return _acquire_release(mp.Semaphore(4), scale)


@case("sync.boundedsemaphore")
def bounded_semaphore(mp: Any, scale: Scale) -> Sample:
    """BoundedSemaphore(4), uncontended."""
    return _acquire_release(mp.BoundedSemaphore(4), scale)


@case("sync.lock.with")
def lock_with(mp: Any, scale: Scale) -> Sample:
    """``with lock: pass``, uncontended."""
    lock = mp.Lock()

    def loop(n: int) -> None:
        for _ in range(n):
            with lock:
                pass

    seconds = per_call(loop, scale, start=5000)
    check(lock.acquire(False), "it is not free after the block")
    lock.release()
    return Sample(seconds * 1e9, "ns")


@case("sync.create")
def create(mp: Any, scale: Scale) -> Sample:
    """Creation of a Lock, dropped at once."""

    def loop(n: int) -> None:
        for _ in range(n):
            mp.Lock()

    return Sample(per_call(loop, scale, start=50) * 1e6, "us")


def _contend(lock: Any, words: memoryview, me: int, seconds: float) -> list[int]:
    """Take the lock for ``seconds``; how often, and how often another process had it before."""
    acquire, release = lock.acquire, lock.release
    count = handoffs = 0
    until = perf_counter() + seconds
    while perf_counter() < until:
        for _ in range(100):
            acquire()
            if words[0] != me:
                words[0] = me
                handoffs += 1
            words[1] += 1
            release()
        count += 100
    return [count, handoffs]


def _contended(mp: Any, lock: Any, processes: int, scale: Scale) -> Sample:
    words = _shared_words(2)
    with Crew(mp) as crew:
        for index in range(processes):
            crew.add(_contend, lock, words, index + 1, scale.window)
        seconds, values = crew.run()
    total = sum(count for count, _ in values)
    check(words[1] == total, f"{total} acquisitions counted {words[1]}: two had the lock at once")
    handoffs = sum(changes for _, changes in values)
    least = min(count for count, _ in values)
    return Sample(total / seconds, "ops/s", handoffs_per_s=handoffs / seconds, least_share=least / total)


@case("sync.lock.contended2")
def lock_contended2(mp: Any, scale: Scale) -> Sample:
    """Two processes in one Lock."""
    return _contended(mp, mp.Lock(), 2, scale)


@case("sync.lock.contended4")
def lock_contended4(mp: Any, scale: Scale) -> Sample:
    """Four processes in one Lock."""
    return _contended(mp, mp.Lock(), 4, scale)


@case("sync.rlock.contended2")
def rlock_contended2(mp: Any, scale: Scale) -> Sample:
    """Two processes in one RLock."""
    return _contended(mp, mp.RLock(), 2, scale)


def _answer_semaphores(ping: Any, pong: Any, words: memoryview) -> int:
    while True:
        ping.acquire()
        if words[0]:
            return words[1]
        words[1] += 1
        pong.release()


@case("sync.semaphore.pingpong")
def semaphore_pingpong(mp: Any, scale: Scale) -> Sample:
    """A forced hand-off there and back through two Semaphores."""
    ping, pong = mp.Semaphore(0), mp.Semaphore(0)
    words = _shared_words(3)
    with Crew(mp) as crew:
        crew.add(_answer_semaphores, ping, pong, words)
        crew.go()

        def loop(n: int) -> None:
            for _ in range(n):
                ping.release()
                pong.acquire()
            words[2] += n

        seconds = per_call(loop, scale)
        words[0] = 1
        ping.release()
        check(crew.results()[0] == words[2], "rounds were lost")
    return Sample(seconds * 1e6, "us")


def _answer_events(ping: Any, pong: Any, words: memoryview) -> int:
    while True:
        ping.wait()
        ping.clear()
        if words[0]:
            return words[1]
        words[1] += 1
        pong.set()


@case("sync.event.pingpong")
def event_pingpong(mp: Any, scale: Scale) -> Sample:
    """set, wait and clear there and back through two Events."""
    ping, pong = mp.Event(), mp.Event()
    words = _shared_words(3)
    with Crew(mp) as crew:
        crew.add(_answer_events, ping, pong, words)
        crew.go()

        def loop(n: int) -> None:
            for _ in range(n):
                ping.set()
                pong.wait()
                pong.clear()
            words[2] += n

        seconds = per_call(loop, scale)
        words[0] = 1
        ping.set()
        check(crew.results()[0] == words[2], "rounds were lost")
    return Sample(seconds * 1e6, "us")


@case("sync.event.isset")
def event_isset(mp: Any, scale: Scale) -> Sample:
    """Event.is_set()."""
    event = mp.Event()
    check(event.is_set() is False, "a new event is set")
    event.set()

    def loop(n: int) -> None:
        is_set = event.is_set
        hits = 0
        for _ in range(n):
            hits += is_set()
        check(hits == n, f"{hits} of {n} saw it set")

    return Sample(per_call(loop, scale, start=2000) * 1e9, "ns")


def _answer_turns(condition: Any, words: memoryview) -> int:
    """Take every odd turn until the end is flagged."""
    count = 0
    with condition:
        while True:
            while words[1] % 2 == 0 and not words[0]:
                condition.wait()
            if words[0]:
                return count
            words[1] += 1
            count += 1
            condition.notify()


@case("sync.condition.pingpong")
def condition_pingpong(mp: Any, scale: Scale) -> Sample:
    """Turns under one Condition."""
    condition = mp.Condition()
    words = _shared_words(3)
    with Crew(mp) as crew:
        crew.add(_answer_turns, condition, words)
        crew.go()

        def loop(n: int) -> None:
            with condition:
                for _ in range(n):
                    words[1] += 1
                    condition.notify()
                    while words[1] % 2:
                        condition.wait()
            words[2] += n

        seconds = per_call(loop, scale)
        with condition:
            words[0] = 1
            condition.notify()
        check(crew.results()[0] == words[2], "turns were lost")
    return Sample(seconds * 1e6, "us")


def _cycle(barrier: Any, words: memoryview, me: int, seconds: float) -> int:
    """Pass the barrier until the first member says that it is time; the number of cycles."""
    wait = barrier.wait
    until = perf_counter() + seconds
    cycles = 0
    while True:
        for _ in range(20):
            wait()
        cycles += 20
        if me == 0 and perf_counter() > until:
            words[0] = 1
        wait()
        cycles += 1
        if words[0]:
            return cycles


@case("sync.barrier4")
def barrier(mp: Any, scale: Scale) -> Sample:
    """One cycle of a Barrier of four processes."""
    words = _shared_words(1)
    barrier = mp.Barrier(4)
    with Crew(mp) as crew:
        for index in range(4):
            crew.add(_cycle, barrier, words, index, scale.window)
        seconds, cycles = crew.run()
    check(len(set(cycles)) == 1, f"the members passed {cycles} times")
    return Sample(seconds / cycles[0] * 1e6, "us")
