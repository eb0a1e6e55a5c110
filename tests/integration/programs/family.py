"""Children that start children; who is whose parent, who is alive, and what is waited for by its sentinel."""

from __future__ import annotations

import multiprocessing as mp
import os
import sys
import time
from multiprocessing.connection import wait


def leaf(results, depth):
    me, parent = mp.current_process(), mp.parent_process()
    results.put((depth, me.name, parent.name, parent.is_alive(), me.daemon, mp.active_children()))


def branch(results, depth):
    leaf(results, depth)
    if depth:
        children = [
            mp.Process(target=branch, args=(results, depth - 1), name=f"{depth}-{n}") for n in range(2)
        ]
        for child in children:
            child.start()
        assert len(mp.active_children()) <= 2
        for child in children:
            child.join()


def daemonic(results):
    try:
        mp.Process(target=print).start()
    except AssertionError as error:
        results.put(str(error).split(";")[0])


def sleep(seconds):
    time.sleep(seconds)


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    results = mp.SimpleQueue()
    process = mp.Process(target=branch, args=(results, 2), name="root")
    process.start()
    print(sorted(results.get() for _ in range(7)))
    process.join()
    process = mp.Process(target=daemonic, args=(results,), daemon=True)
    process.start()
    print(results.get())
    process.join()
    sleepers = [mp.Process(target=sleep, args=(seconds,)) for seconds in (0, 1000)]
    for sleeper in sleepers:
        sleeper.start()
    ready = wait([sleeper.sentinel for sleeper in sleepers])
    print([sleeper.sentinel in ready for sleeper in sleepers])
    sleepers[0].join()
    print(len(mp.active_children()))
    sleepers[1].terminate()
    sleepers[1].join()
    print([sleeper.exitcode for sleeper in sleepers], mp.active_children(), mp.parent_process())
    print(
        mp.current_process().name,
        mp.current_process().pid == os.getpid(),
        mp.get_start_method() == sys.argv[1],
    )
    lost = mp.Process(target=sleep, args=(1000,), daemon=True)
    lost.start()  # ended with this program
