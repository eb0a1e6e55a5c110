"""Throughput of queues, pipes, shared sequences, locks and conditions. Usage: mp_benchmarks.py [SECONDS]

Each part doubles its number of rounds until a run takes SECONDS (default: 1).
"""

import gc
import queue
import sys
import threading
import time

import procession as mp

SECONDS = 1.0
MOST_ROUNDS = 1 << 24
MESSAGE = b"x" * 256


def report(what, rounds, seconds):
    print(f"\n\t{rounds} {what} in {seconds:.3f} seconds\n\taverage number/sec: {rounds / seconds:.0f}")


def double(what, measure):
    """Call ``measure(rounds)``, which returns seconds, with more and more rounds."""
    rounds = 1
    while True:
        rounds *= 2
        seconds = measure(rounds)
        if seconds >= SECONDS or rounds >= MOST_ROUNDS:
            break
    report(what, rounds, max(seconds, 1e-9))


# ---- messages ----


def put_many(target, ready, rounds):
    ready.wait()
    for _ in range(rounds):
        target.put(MESSAGE)
    target.put("STOP")


def send_many(connection, ready, rounds):
    ready.wait()
    for _ in range(rounds):
        connection.send(MESSAGE)
    connection.send("STOP")


def measure_messages(make_runner, event, function, target, receive):
    def measure(rounds):
        ready = event()
        runner = make_runner(target=function, args=(target, ready, rounds))
        runner.start()
        begun = time.perf_counter()
        ready.set()
        while receive() != "STOP":
            pass
        seconds = time.perf_counter() - begun
        runner.join()
        return seconds

    return measure


def test_queue(title, make_runner, event, target):
    print(f"\n\t######## {title}")
    double("objects passed through the queue", measure_messages(make_runner, event, put_many, target, target.get))


def test_pipe():
    print("\n\t######## testing Pipe with processes")
    here, there = mp.Pipe()
    measure = measure_messages(mp.Process, mp.Event, send_many, there, here.recv)
    double("objects passed through the connection", measure)


# ---- sequences and locks ----


def test_sequence(title, sequence):
    print(f"\n\t######## {title}")

    def measure(rounds):
        begun = time.perf_counter()
        for _ in range(rounds):
            sequence[5]
        return time.perf_counter() - begun

    double("iterations", measure)


def test_lock(title, lock):
    print(f"\n\t######## {title}")

    def measure(rounds):
        begun = time.perf_counter()
        for _ in range(rounds):
            lock.acquire()
            lock.release()
        return time.perf_counter() - begun

    double("iterations", measure)


# ---- a ping-pong over a condition ----


def answer_pings(condition, rounds):
    with condition:
        condition.notify()
        for _ in range(rounds):
            condition.wait()
            condition.notify()


def test_condition(title, make_runner, condition):
    print(f"\n\t######## {title}")

    def measure(rounds):
        with condition:
            runner = make_runner(target=answer_pings, args=(condition, rounds))
            runner.start()
            condition.wait()
            begun = time.perf_counter()
            for _ in range(rounds):
                condition.notify()
                condition.wait()
            seconds = time.perf_counter() - begun
        runner.join()
        return seconds

    double("waits", measure)


def main():
    gc.disable()
    with mp.Manager() as manager:
        test_queue("testing Queue.Queue", threading.Thread, threading.Event, queue.Queue())
        test_queue("testing multiprocessing.Queue", mp.Process, mp.Event, mp.Queue())
        test_queue("testing Queue managed by server process", mp.Process, mp.Event, manager.Queue())
        test_pipe()
        print()
        test_sequence("testing list", list(range(10)))
        test_sequence("testing list managed by server process", manager.list(range(10)))
        test_sequence('testing Array("i", ..., lock=False)', mp.Array("i", range(10), lock=False))
        test_sequence('testing Array("i", ..., lock=True)', mp.Array("i", range(10), lock=True))
        print()
        test_lock("testing threading.Lock", threading.Lock())
        test_lock("testing threading.RLock", threading.RLock())
        test_lock("testing multiprocessing.Lock", mp.Lock())
        test_lock("testing multiprocessing.RLock", mp.RLock())
        test_lock("testing lock managed by server process", manager.Lock())
        test_lock("testing rlock managed by server process", manager.RLock())
        print()
        test_condition("testing threading.Condition", threading.Thread, threading.Condition())
        test_condition("testing multiprocessing.Condition", mp.Process, mp.Condition())
        test_condition("testing condition managed by a server process", mp.Process, manager.Condition())
    gc.enable()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        SECONDS = float(sys.argv[1])
    main()
