# methods: fork spawn forkserver
"""Conditions, semaphores, locks and barriers as arguments in every form."""

from __future__ import annotations

import multiprocessing as mp
import sys


def producer(cond, buf, n):
    for i in range(n):
        with cond:
            cond.wait_for(lambda: buf[0] == -1)
            buf[0] = i
            cond.notify_all()


def rd(sem, v, lock):
    with sem:
        with v.get_lock():
            v.value += 1
    lock.acquire()
    lock.acquire()
    lock.release()
    lock.release()


class Prefix:
    def __init__(self, lock, val):
        self.lock = lock
        self.val = val
        self.ev = mp.Event()
        self.ev2 = mp.Condition(mp.Lock())

    def go(self):
        with self.lock:
            self.val.value += 10
        self.ev.set()


def shared(d):
    d["l"].acquire()
    d["v"].value = 99
    d["l"].release()
    d["b"].wait()


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    c = mp.Condition()
    buf = mp.Array("i", [-1], lock=False)
    p = mp.Process(target=producer, args=(c, buf, 5))
    p.start()
    got = []
    for _ in range(5):
        with c:
            c.wait_for(lambda: buf[0] != -1)
            got.append(buf[0])
            buf[0] = -1
            c.notify_all()
    p.join()
    print(got)
    s = mp.Semaphore(2)
    v = mp.Value("i")
    rl = mp.RLock()
    ps = [mp.Process(target=rd, args=(s, v, rl)) for _ in range(5)]
    [p.start() for p in ps]
    [p.join() for p in ps]
    print(v.value, [p.exitcode for p in ps])
    o = Prefix(mp.Lock(), mp.Value("i", 1))
    p = mp.Process(target=o.go)
    p.start()
    print(o.ev.wait(20))
    p.join()
    print(o.val.value)
    d = {"l": mp.Lock(), "v": mp.Value("d"), "b": mp.Barrier(2)}
    p = mp.Process(target=shared, kwargs={"d": d})
    p.start()
    d["b"].wait(20)
    p.join()
    print(d["v"].value)
    lock = mp.Lock()
    print(
        lock.acquire(), lock.acquire(timeout=0.05), lock.acquire(False), lock.acquire(block=True, timeout=-1)
    )
    lock.release()
    try:
        lock.release()
    except ValueError as e:
        print(e)
    r = mp.RLock()
    try:
        r.release()
    except AssertionError as e:
        print(e)
