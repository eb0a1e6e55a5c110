# methods: fork spawn forkserver
"""What the standard library itself does with processes: executors, asyncio, compileall, logging."""

from __future__ import annotations

import asyncio
import compileall
import concurrent.futures as cf
import logging
import logging.config
import multiprocessing as mp
import os
import shutil
import sys
import tempfile


def sq(x):
    return x * x


async def main(ex):
    loop = asyncio.get_running_loop()
    return await asyncio.gather(*[loop.run_in_executor(ex, sq, i) for i in range(5)])


def w(q):
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": True,
            "handlers": {"q": {"class": "logging.handlers.QueueHandler", "queue": q}},
            "root": {"handlers": ["q"], "level": "DEBUG"},
        }
    )
    logging.getLogger("x").warning("from child")


if __name__ == "__main__":
    import logging.handlers

    mp.set_start_method(sys.argv[1])
    with cf.ProcessPoolExecutor(2) as ex:
        print(asyncio.run(main(ex)))
        f = ex.submit(sq, 3)
        print(cf.wait([f]).done == {f}, f.result())
        print(list(ex.map(sq, range(4), timeout=20)))
    d = tempfile.mkdtemp()
    open(os.path.join(d, "a.py"), "w").write("x=1")
    print(compileall.compile_dir(d, quiet=1, workers=2))
    shutil.rmtree(d)
    q = mp.Queue()
    p = mp.Process(target=w, args=(q,), name="Q")
    p.start()
    r = q.get(timeout=20)
    p.join()
    print(r.name, r.msg, r.processName)

    async def aq():
        with mp.Manager() as m:
            q = m.Queue()
            loop = asyncio.get_running_loop()
            q.put(5)
            return await loop.run_in_executor(None, q.get)

    print(asyncio.run(aq()))
