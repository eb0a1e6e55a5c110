# methods: fork spawn forkserver
"""Subclasses of Process with events, and how they end."""

from __future__ import annotations

import multiprocessing as mp
import sys


class Worker(mp.Process):
    def __init__(self, q, stop, n, **kw):
        super().__init__(**kw)
        self.q = q
        self.stop = stop
        self.n = n

    def run(self):
        self.q.put((self.name, self.n, self.daemon, mp.current_process().name, mp.parent_process().name))
        self.stop.wait()
        if self.n == 1:
            sys.exit(3)
        if self.n == 2:
            sys.exit("bye")
        if self.n == 3:
            raise ValueError("x")


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    q, stop = mp.Queue(), mp.Event()
    ws = [Worker(q, stop, i, name=f"w{i}", daemon=i % 2 == 0) for i in range(4)]
    import re

    print(re.sub(r"parent=\d+", "parent=N", str(ws[0])))
    [w.start() for w in ws]
    print(sorted(q.get() for _ in ws))
    print([w.is_alive() for w in ws], len(mp.active_children()))
    stop.set()
    [w.join() for w in ws]
    print([w.exitcode for w in ws], mp.active_children())
    w = Worker(q, stop2 := mp.Event(), 0)
    w.start()
    q.get()
    w.terminate()
    w.join()
    print(w.exitcode, w.is_alive())
    w.close()
