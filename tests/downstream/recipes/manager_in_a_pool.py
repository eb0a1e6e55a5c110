# methods: fork spawn forkserver
"""Proxies of all kinds, also in the tasks of a pool, and a manager of own classes."""

from __future__ import annotations

import multiprocessing as mp
import sys
from multiprocessing.managers import BaseManager, NamespaceProxy


def f(args):
    d, items, lock, k = args
    with lock:
        d[k] = k * k
        items.append(k)
        d["n"] = d.get("n", 0) + 1
    return len(d) > 0


class Counter:
    def __init__(self):
        self.v = 0

    def inc(self, n=1):
        self.v += n
        return self.v

    def get(self):
        return self.v


class CounterProxy(NamespaceProxy):
    _exposed_ = ("__getattribute__", "__setattr__", "__delattr__", "inc", "get")

    def inc(self, n=1):
        return self._callmethod("inc", (n,))


class My(BaseManager):
    pass


My.register("Counter", Counter)
My.register("CP", Counter, CounterProxy)


def g(c):
    return c.inc()


def main():
    mp.set_start_method(sys.argv[1])
    with mp.Manager() as m:
        d, items, lock = m.dict(), m.list(), m.Lock()
        with mp.Pool(2) as p:
            print(all(p.map(f, [(d, items, lock, i) for i in range(6)])))
        print(sorted(map(str, d.items())), sorted(items), len(d), d.copy() == dict(d))
        n = m.dict()
        n["x"] = m.list([1, 2])
        n["x"].append(3)
        print(n["x"][:], str(n["x"]), type(n["x"]).__name__)
        n["plain"] = [1]
        n["plain"].append(2)
        print(n["plain"])
        ns = m.Namespace(a=1)
        ns.b = [1]
        print(ns, ns.a, ns.b)
        ev = m.Event()
        q = m.Queue()
        q.put(1)
        print(q.get(), q.empty(), ev.is_set())
        v = m.Value("i", 3)
        v.value += 1
        print(v.value, v)
        a = m.Array("i", [1, 2])
        a[0] = 9
        print(a[:], list(a))
        print("x" in d, list(iter(m.dict(a=1))), list(m.list([3, 1, 2])), m.list([1]) + [2], m.list([1]) * 2)
        li = m.list([3, 1, 2])
        li.sort()
        li.reverse()
        li += [5]
        print(li, li.index(1), li.count(3), li.pop())
        print(repr(m.dict(a=1)).split(" at ")[0])
        with m.Pool(2) as mp_:
            print(mp_.map(abs, [-1, -2]))
    with My() as m:
        c = m.Counter()
        cp = m.CP()
        with mp.Pool(2) as p:
            print(sorted(p.map(g, [c] * 5)), sorted(p.map(g, [cp] * 5)))
        print(c.get(), cp.v)
        cp.v = 100
        print(cp.inc())
        try:
            c.v
        except AttributeError as e:
            print(str(e)[:60])
        print(type(c).__name__, type(cp).__name__)


if __name__ == "__main__":
    main()
