"""Objects in states in which misuse.py misuses them."""

from __future__ import annotations

import multiprocessing as mp
import multiprocessing.connection as cn
import multiprocessing.managers as mg
import multiprocessing.shared_memory as sm
import pickle
import sys
import threading
import time

KEPT = []
ctx = mp.get_context(sys.argv[1])


def noop(*a, **k):
    pass


def ident(x):
    return x


def boom(x):
    raise KeyError(x)


def sleep(x):
    time.sleep(x)


class Unpicklable:
    def __reduce__(self):
        raise pickle.PicklingError("no")


def ret_lambda():
    return lambda: 0


def bad_init():
    raise RuntimeError("init")


def started(target=noop, args=()):
    p = ctx.Process(target=target, args=args)
    p.start()
    return p


def finished():
    p = started()
    p.join()
    return p


def misuse(pipe, process, what):
    try:
        if process is None:
            process = ctx.Process(target=noop)
        found = getattr(process, what)
        if callable(found):
            found()
    except BaseException as error:
        pipe.send(error)
    else:
        pipe.send(None)


def in_child(what, process=None, daemon=False):
    """Misuse *process* in a child, or a process that the child makes; what it raises there, raise here."""
    mine, its = ctx.Pipe()
    child = ctx.Process(target=misuse, args=(its, process, what), daemon=daemon)
    child.start()
    its.close()
    error = mine.recv()
    child.join()
    if error is not None:
        raise error


def closed():
    p = finished()
    p.close()
    return p


def closed_conn():
    a, b = ctx.Pipe()
    a.close()
    b.close()
    return a


def badgen():
    yield 1
    raise LookupError("gen")


def full_proxy(m):
    q = m.Queue(1)
    q.put(1)
    return q


def getserver():
    m = mg.SyncManager(ctx=ctx)
    m.start()
    try:
        m.get_server()
    finally:
        m.shutdown()


def starttwice():
    m = mg.SyncManager(ctx=ctx)
    m.start()
    try:
        m.start()
    finally:
        m.shutdown()


def startafter():
    m = mg.SyncManager(ctx=ctx)
    m.start()
    m.shutdown()
    m.start()


def closeview():
    s = sm.SharedMemory(create=True, size=10)
    v = s.buf[:3]
    try:
        s.close()
    finally:
        v.release()
        s.close()
        s.unlink()


def twice(n):
    s = sm.SharedMemory(n, create=True, size=10)
    try:
        sm.SharedMemory(n, create=True, size=10)
    finally:
        s.close()
        s.unlink()


def wrongkey(lk, ck, which):
    listener = cn.Listener(authkey=lk)
    out = []

    def acc():
        try:
            listener.accept()
        except Exception as e:
            out.append(e)

    t = threading.Thread(target=acc, daemon=True)
    t.start()
    try:
        try:
            cn.Client(listener.address, authkey=ck)
        except Exception as e:
            out.append(e)
            err = e
        else:
            err = None
        t.join(5)
    finally:
        listener.close()
    if which == 0:
        if err:
            raise err
    else:
        for e in out:
            if e is not err:
                raise e


def closedlistener():
    listener = cn.Listener()
    listener.close()
    return listener


def inuse():
    listener = cn.Listener(("localhost", 0))
    try:
        cn.Listener(listener.address)
    finally:
        listener.close()


def eof():
    a, b = ctx.Pipe()
    b.close()
    return a


def broken():
    a, b = ctx.Pipe(duplex=False)
    a.close()
    return b


def withbytes(d):
    a, b = ctx.Pipe()
    a.send_bytes(d)
    KEPT.append(a)
    return b


def pair():
    p = ctx.Pipe()
    KEPT.append(p)
    return p


def closedsq():
    q = ctx.SimpleQueue()
    q.close()
    return q


def donetwice():
    q = ctx.JoinableQueue()
    q.put(1)
    q.get()
    q.task_done()
    q.task_done()


def full():
    q = ctx.Queue(1)
    q.put(1)
    return q


def closedq():
    q = ctx.Queue()
    q.close()
    return q


def aborted(b):
    b.abort()
    b.wait()


def condheld(f):
    c = ctx.Condition()
    with c:
        return f(c)


def in_other_thread(lock):
    t = threading.Thread(target=lock.acquire)
    t.start()
    t.join()
    lock.release()


def startlambda():
    p = ctx.Process(target=lambda: 0)
    p.start()
    p.join()
    return p.exitcode


def startargs(*a):
    p = ctx.Process(target=noop, args=a)
    p.start()
    p.join()
    return p.exitcode


def closerunning():
    p = started(sleep, (0.3,))
    try:
        p.close()
    finally:
        p.join()


def afterclose(n):
    p = finished()
    p.close()
    getattr(p, n)()


def afterclose_attr(n):
    p = finished()
    p.close()
    return getattr(p, n)
