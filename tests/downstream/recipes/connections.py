# methods: fork spawn forkserver
"""Bytes, buffers, many readers and a listener."""

from __future__ import annotations

import array
import multiprocessing as mp
import sys
from multiprocessing.connection import Client, Listener, wait


def child(c):
    a = array.array("i", range(5))
    c.send_bytes(a)
    c.send_bytes(memoryview(b"abcdef"), 2, 3)
    buf = bytearray(10)
    n = c.recv_bytes_into(buf, 2)
    c.send((n, bytes(buf)))
    try:
        c.recv_bytes(3)
    except OSError as e:
        c2_err = type(e).__name__
    print(c2_err, flush=True)


def foo(w):
    for i in range(10):
        w.send((i, mp.current_process().name))
    w.close()


def srv(addr_q):
    with Listener(None, "AF_UNIX") as listener:
        addr_q.put(listener.address)
        with listener.accept() as c:
            c.send("hello")
            pass
            from multiprocessing import BufferTooShort

            b = bytearray(3)
            try:
                c.recv_bytes_into(b)
            except BufferTooShort as e:
                print("short", e.args[0], flush=True)


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    a, b = mp.Pipe()
    p = mp.Process(target=child, args=(b,))
    p.start()
    print(array.array("i", a.recv_bytes()).tolist(), a.recv_bytes())
    a.send_bytes(b"12345")
    print(a.recv())
    a.send_bytes(b"too long")
    p.join()
    readers = []
    for i in range(4):
        r, w = mp.Pipe(duplex=False)
        readers.append(r)
        p = mp.Process(target=foo, args=(w,))
        p.start()
        w.close()
    got = 0
    while readers:
        for r in wait(readers):
            try:
                msg = r.recv()
            except EOFError:
                readers.remove(r)
            else:
                got += msg[0]
    print(got)
    q = mp.Queue()
    p = mp.Process(target=srv, args=(q,))
    p.start()
    c = Client(q.get())
    print(c.recv())
    c.send_bytes(b"longer")
    p.join()
    c.close()
    [x.join() for x in mp.active_children()]
