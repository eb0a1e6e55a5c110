# methods: fork spawn forkserver
"""A pool as an attribute, with methods, static methods and callable objects as tasks."""

from __future__ import annotations

import multiprocessing as mp
import sys


class Sim:
    factor = 2

    def __init__(self, n):
        self.n = n
        self.cache = {}

    def __getstate__(self):
        d = dict(self.__dict__)
        d.pop("pool", None)
        return d

    def step(self, x):
        return self.factor * x + self.n

    @staticmethod
    def st(x):
        return x + 1

    @classmethod
    def cl(cls, x):
        return cls.factor * x

    def __call__(self, x):
        return x - self.n

    def run(self):
        with mp.Pool(2) as self.pool:
            print(self.pool.map(self.step, range(5)))
            print(
                self.pool.map(self.st, range(5)),
                self.pool.map(self.cl, range(5)),
                self.pool.map(self, range(5)),
            )
            print(self.pool.starmap(pow, [(2, 3), (3, 2)]))
            rs = [self.pool.apply_async(self.step, (i,), callback=self.done) for i in range(4)]
            print([r.get() for r in rs])
            print(sorted(self.pool.imap_unordered(self.step, range(4), chunksize=2)))
            it = self.pool.imap(self.step, range(3))
            print(next(it), it.next(timeout=5), list(it))
            try:
                self.pool.apply(self.fail)
            except ZeroDivisionError as e:
                print(type(e), e, type(e.__cause__).__name__)
        print(sorted(self.cache))

    def done(self, r):
        self.cache[r] = 1

    def fail(self):
        1 / 0


def init(a, b):
    global G
    G = a + b


def shifted(x):
    return G + x


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    Sim(10).run()
    with mp.Pool(2, init, (1, 2), maxtasksperchild=2) as p:
        print(p.map(shifted, range(6), chunksize=1))
    p = mp.Pool(2)
    r = p.map_async(abs, range(-3, 3))
    p.close()
    p.join()
    print(r.get(), r.ready(), r.successful())
    for w in p._pool:
        print(w.name.split("-")[0], w.daemon, w.exitcode)
