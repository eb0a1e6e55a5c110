# quick
# methods: fork spawn forkserver
"""concurrent.futures.ProcessPoolExecutor: map, submit, initializers, errors, a worker that dies."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

state = 0


def initialize(value):
    global state
    state = value


def work(number):
    if number == 7:
        raise ValueError(f"{number} is not allowed")
    return number * state


def die():
    os._exit(3)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, mp_context=context, initializer=initialize, initargs=(10,)) as executor:
        print(list(executor.map(work, range(6), chunksize=2)))
        futures = [executor.submit(work, number) for number in range(10)]
        print(sorted(f.result() for f in as_completed(futures) if f.exception() is None))
        print([repr(f.exception()) for f in futures if f.exception()])
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        try:
            executor.submit(die).result()
        except BrokenProcessPool as error:
            print(type(error).__name__, error)
