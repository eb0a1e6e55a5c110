"""A pool of the concurrent package on a context, beside a plain one."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import sys

state = {"initialized": False}


def init(value):
    state["initialized"] = value


def work(number):
    return number * 10, state["initialized"]


def fail():
    raise KeyError("missing")


def die():
    os._exit(3)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with concurrent.futures.ProcessPoolExecutor(
        2, mp_context=context, initializer=init, initargs=("yes",)
    ) as pool:
        print(list(pool.map(work, range(5), chunksize=2)))
        future = pool.submit(fail)
        print(repr(future.exception()))
        done = concurrent.futures.wait([pool.submit(work, n) for n in range(3)]).done
        print(sorted(future.result() for future in done))
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            pool.submit(die).result()
        except concurrent.futures.process.BrokenProcessPool:
            print("broken")
    with context.Pool(2, init, ("pool",)) as pool:
        print(pool.map(work, [1, 2]), context.get_start_method() == sys.argv[1])
    queue = context.Queue()
    process = context.Process(target=queue.put, args=([1, 2],))
    process.start()
    print(queue.get(), process.join(), process.exitcode)
