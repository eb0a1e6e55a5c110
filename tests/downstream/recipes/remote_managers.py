# methods: fork spawn forkserver
"""Managers with exposed methods, generators, and clients by address."""

from __future__ import annotations

import multiprocessing as mp
import queue
import sys
from multiprocessing.managers import BaseManager, BaseProxy, ListProxy


class MathsClass:
    def add(self, x, y):
        return x + y

    def mul(self, x, y):
        return x * y

    def _secret(self):
        return 42


class Op:
    @staticmethod
    def gen():
        for i in range(3):
            yield i * i


class GP(BaseProxy):
    _exposed_ = ["__next__"]

    def __iter__(self):
        return self

    def __next__(self):
        return self._callmethod("__next__")


class My(BaseManager):
    pass


def baz():
    return Op.gen()


My.register("M1", MathsClass)
My.register("M2", MathsClass, exposed=("_secret", "add"))
My.register("gen", baz, proxytype=GP)
my_list = ["a", "b"]


def get_list():
    return my_list


My.register("get_list", get_list, proxytype=ListProxy)
My.register("make", callable=MathsClass, method_to_typeid={"sub": "M1"}, create_method=True)
Q = queue.Queue()


class QM(BaseManager):
    pass


def getq():
    return Q


def serve(addr_conn):
    QM.register("get_queue", callable=getq)
    m = QM(("127.0.0.1", 0), b"abra")
    s = m.get_server()
    addr_conn.send(s.address)
    s.serve_forever()


def init(x):
    global V
    V = x


class VM(BaseManager):
    pass


def getv():
    return ValueHolder()


class ValueHolder:
    def get(self):
        return V


VM.register("v", ValueHolder)


def use(addr, n):
    class R(BaseManager):
        pass

    R.register("get_queue")
    r = R(addr, b"abra")
    r.connect()
    r.get_queue().put(n)


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    with My() as m:
        f1 = m.M1()
        print(f1.add(1, 2), f1.mul(3, 4), hasattr(f1, "_secret"))
        f2 = m.M2()
        print(f2._secret(), f2.add(1, 1), hasattr(f2, "mul"))
        print(list(m.gen()), list(m.get_list()), len(m.get_list()))
        try:
            m.make().add("x", 1)
        except TypeError as e:
            print(type(e).__name__)
        print(str(f1)[:20], repr(f1).startswith("<AutoProxy[M1] object, typeid"))
        g = f1
        del f1
    a, b = mp.Pipe()
    p = mp.Process(target=serve, args=(b,))
    p.start()
    addr = a.recv()
    QM.register("get_queue")
    m = QM(address=addr, authkey=b"abra")
    m.connect()
    q = m.get_queue()
    q.put("x")
    c = mp.Process(target=use, args=(addr, 5))
    c.start()
    c.join()
    print(q.get(), q.get(), q.qsize())
    try:
        QM(address=addr, authkey=b"wrong").connect()
    except mp.AuthenticationError as e:
        print("auth", str(e)[:24])
    p.terminate()
    p.join()
    v = VM()
    v.start(init, (7,))
    print(v.v().get())
    v.shutdown()
    print(mp.active_children())
