"""A tour of Pool. Usage: mp_pool.py [processes|threads]"""

import random
import sys
import threading
import time

import procession as mp
from procession.pool import ThreadPool

PROCESSES = 4
TASKS1 = [("mul", i, 7) for i in range(20)]
TASKS2 = [("plus", i, 8) for i in range(20)]


def mul(a, b):
    time.sleep(0.5 * random.random())
    return a * b


def plus(a, b):
    time.sleep(0.5 * random.random())
    return a + b


FUNCTIONS = {"mul": mul, "plus": plus}


def worker_name():
    name = mp.current_process().name
    return threading.current_thread().name if name == "MainProcess" else name


def calculate(task):
    name, a, b = task
    return f"{worker_name()} says that {name}({a}, {b}) = {FUNCTIONS[name](a, b)}"


def pow3(x):
    return x**3


def noop(x):
    return None


def divide(x):
    return 1.0 / (x - 5.0)


def slow(x):
    time.sleep(0.3)
    return x


def ordered_forms(pool):
    results = [pool.apply_async(calculate, (task,)) for task in TASKS1]
    imap = pool.imap(calculate, TASKS1)
    unordered = pool.imap_unordered(calculate, TASKS1)

    for title, lines in (
        ("Ordered results using pool.apply_async():", (result.get() for result in results)),
        ("Ordered results using pool.imap():", imap),
        ("Unordered results using pool.imap_unordered():", unordered),
        ("Ordered results using pool.map() --- will block till complete:", pool.map(calculate, TASKS2)),
    ):
        print(title)
        for line in lines:
            print("\t", line)
        print()


def timed(function, *args, **options):
    begun = time.perf_counter()
    result = list(function(*args, **options))
    return result, time.perf_counter() - begun


def benchmarks(pool):
    for function, number in ((pow3, 100_000), (noop, 1_000_000)):
        items = range(number)
        chunk = number // (4 * PROCESSES)
        print(f"{function.__name__} over {number} items")
        plain, seconds = timed(map, function, items)
        print(f"\tmap(): {seconds:.3f} s")
        pooled, seconds = timed(pool.map, function, items)
        print(f"\tpool.map(): {seconds:.3f} s")
        chunked, seconds = timed(pool.imap, function, items, chunksize=chunk)
        print(f"\tlist(pool.imap(chunksize={chunk})): {seconds:.3f} s")
        print("\tequal:", plain == pooled == chunked)
    print()


def errors(pool):
    print("Testing error handling:")
    for name, call in (
        ("pool.apply()", lambda: pool.apply(divide, (5,))),
        ("pool.map()", lambda: pool.map(divide, range(10))),
        ("list(pool.imap())", lambda: list(pool.imap(divide, range(10)))),
    ):
        try:
            call()
        except ZeroDivisionError:
            print(f"\tGot ZeroDivisionError as expected from {name}")

    iterator = pool.imap(divide, range(10))
    got = []
    for i in range(10):
        try:
            got.append(next(iterator))
        except ZeroDivisionError:
            print(f"\tGot ZeroDivisionError as expected from item {i} of IMapIterator")
    print(f"\tthe other {len(got)} items came\n")


def timeouts(pool):
    print("Testing ApplyResult.get() with timeout:", end=" ")
    result = pool.apply_async(calculate, (TASKS1[0],))
    while True:
        try:
            print(result.get(0.02))
            break
        except mp.TimeoutError:
            print(".", end="", flush=True)

    print("Testing IMapIterator.next() with timeout:", end=" ")
    iterator = pool.imap(slow, range(3))
    while True:
        try:
            print(iterator.next(0.02), end="")
        except StopIteration:
            break
        except mp.TimeoutError:
            print(".", end="", flush=True)
    print("\n")


def callbacks(pool):
    print("Testing callbacks:")
    got = []
    result = pool.apply_async(mul, (7, 8), callback=got.append)
    result.wait()
    result = pool.map_async(pow3, range(10), callback=got.extend)
    result.wait()
    deadline = time.monotonic() + 10
    while len(got) < 11 and time.monotonic() < deadline:
        time.sleep(0.01)
    print("\tcallbacks succeeded" if got == [56, *map(pow3, range(10))] else f"\tcallbacks failed: {got}")
    print(f"\ttasks left in the cache: {len(pool._cache)}\n")


def all_ended(workers, seconds):
    deadline = time.monotonic() + seconds
    while any(worker.is_alive() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.005)
    return not any(worker.is_alive() for worker in workers)


def endings(make):
    print("Testing close():")
    pool = make(PROCESSES)
    workers = list(pool._pool)
    result = pool.apply_async(slow, (1,))
    alive = all(worker.is_alive() for worker in workers)
    pool.close()
    pool.join()
    if alive and result.get() == 1 and all_ended(workers, 0):
        print("\tclose() succeeded\n")

    print("Testing terminate():")
    pool = make(2)
    workers = list(pool._pool)
    result = pool.map_async(slow, range(100), chunksize=1)
    begun = time.monotonic()
    pool.terminate()
    pool.join()
    dropped = not (result.ready() and result.successful())
    # A process can be ended in the middle of a task; a thread ends after it.
    if dropped and all_ended(workers, 5) and time.monotonic() - begun < 10:
        print("\tterminate() succeeded\n")

    print("Testing garbage collection:")
    pool = make(2)
    workers = list(pool._pool)
    pool.map(pow3, range(10))
    del pool
    if all_ended(workers, 5):
        print("\tgarbage collection succeeded\n")


def main(make):
    print(f"cpu_count() = {mp.cpu_count()}\n")
    with make(PROCESSES) as pool:
        print(f"pool = {pool!r}\n")
        ordered_forms(pool)
        benchmarks(pool)
        errors(pool)
        timeouts(pool)
        callbacks(pool)
    endings(make)


if __name__ == "__main__":
    kinds = {"processes": mp.Pool, "threads": ThreadPool}
    kind = sys.argv[1] if len(sys.argv) > 1 else "processes"
    if kind not in kinds:
        raise SystemExit(f"usage: {sys.argv[0]} [processes|threads]")
    print(f" Using {kind} ".center(79, "-"))
    main(kinds[kind])
