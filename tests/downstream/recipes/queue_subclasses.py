# methods: fork spawn forkserver
"""Queues that are subclassed, with state of their own that travels to children."""

from __future__ import annotations

import multiprocessing as mp
import multiprocessing.queues
import queue
import sys


class CountingQueue(multiprocessing.queues.Queue):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, ctx=mp.get_context(), **kwargs)
        self.size = mp.Value("i", 0)

    def __getstate__(self):
        return super().__getstate__() + (self.size,)

    def __setstate__(self, state):
        super().__setstate__(state[:-1])
        self.size = state[-1]

    def put(self, *a, **k):
        with self.size.get_lock():
            self.size.value += 1
        super().put(*a, **k)

    def get(self, *a, **k):
        x = super().get(*a, **k)
        with self.size.get_lock():
            self.size.value -= 1
        return x

    def qsize(self):
        return self.size.value

    def empty(self):
        return not self.qsize()


class CountingJ(multiprocessing.queues.JoinableQueue):
    def __init__(self, maxsize=0):
        super().__init__(maxsize, ctx=mp.get_context())
        self.tag = "J"

    def __getstate__(self):
        return (super().__getstate__(), self.tag)

    def __setstate__(self, s):
        super().__setstate__(s[0])
        self.tag = s[1]

    def put(self, obj, block=True, timeout=None):
        super().put((self.tag, obj), block, timeout)


class SQ(multiprocessing.queues.SimpleQueue):
    def put(self, o):
        super().put([o])


class AttrQueue(multiprocessing.queues.Queue):
    pass


def w(q, j, s):
    for i in range(5):
        q.put(i)
    j.put("x")
    s.put(7)
    print("tag", j.tag, flush=True)


def main():
    mp.set_start_method(sys.argv[1])
    q = CountingQueue()
    j = CountingJ(3)
    s = SQ(ctx=mp.get_context())
    p = mp.Process(target=w, args=(q, j, s))
    p.start()
    p.join()
    print(q.qsize(), q.empty())
    print([q.get() for _ in range(5)], q.qsize(), q.empty())
    print(j.get())
    j.task_done()
    j.join()
    print(s.get(), s.empty())
    a = AttrQueue(1, ctx=mp.get_context())
    a.put(1)
    try:
        a.put(2, timeout=0.1)
    except queue.Full:
        print("full")
    print(isinstance(a, multiprocessing.queues.Queue), type(mp.Queue()).__name__)


if __name__ == "__main__":
    main()
