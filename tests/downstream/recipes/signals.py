# methods: fork spawn forkserver
"""Signals to children, and signals that interrupt what blocks."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import sys
import time


def w(ev, q):
    def h(s, f):
        q.put(f"got {s}")
        sys.exit(7)

    signal.signal(signal.SIGTERM, h)
    ev.set()
    time.sleep(30)


def ign(ev):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ev.set()
    time.sleep(0.3)


def default(ev):
    ev.set()
    time.sleep(30)


def init():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ev, q = mp.Event(), mp.SimpleQueue()
    p = mp.Process(target=w, args=(ev, q))
    p.start()
    ev.wait()
    p.terminate()
    p.join()
    print(p.exitcode, q.get())
    for target, number in (ign, signal.SIGINT), (default, signal.SIGUSR1), (default, signal.SIGINT):
        ev = mp.Event()
        p = mp.Process(target=target, args=(ev,))
        p.start()
        ev.wait()
        os.kill(p.pid, number)
        p.join()
        print(p.exitcode)

    def alarm(s, f):
        raise TimeoutError("alarm")

    signal.signal(signal.SIGALRM, alarm)
    PI = mp.Pipe()
    for what in (
        mp.Event().wait,
        mp.Queue().get,
        mp.SimpleQueue().get,
        mp.Semaphore(0).acquire,
        PI[0].recv,
        mp.Barrier(2).wait,
    ):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            what()
        except TimeoutError as e:
            print("interrupted", e)
    with mp.Pool(2, init) as pool:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            pool.map(time.sleep, [5, 5])
        except TimeoutError as e:
            print("pool", e)
    print("done")
