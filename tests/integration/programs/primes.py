"""Counts primes in a pool whose workers share a counter that their initializer keeps in a global."""

from __future__ import annotations

import multiprocessing
import sys

counter = None
limit = 5


def init(shared, number):
    global counter, limit
    counter, limit = shared, number


def is_prime(number):
    with counter.get_lock():
        counter.value += 1
    return number, number > 1 and all(number % n for n in range(2, int(number**0.5) + 1))


def square(number):
    return number * number * limit


def raises(number):
    if number == 3:
        raise ValueError(f"not {number}")
    return number


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    counter = multiprocessing.Value("i", 0)
    with multiprocessing.Pool(3, initializer=init, initargs=(counter, 7)) as pool:
        found = sorted(n for n, prime in pool.imap_unordered(is_prime, range(100), chunksize=7) if prime)
        print(found, counter.value)
        print(pool.map(square, range(5)), pool.starmap(pow, [(2, 3), (3, 2)]), list(pool.imap(abs, [-1, -2])))
        result = pool.map_async(raises, range(6))
        try:
            result.get(timeout=60)
        except ValueError as error:
            print(repr(error), type(error.__cause__).__name__, "raise ValueError" in str(error.__cause__))
        print(result.ready(), result.successful())
        lost = pool.apply_async(raises, (3,), error_callback=lambda error: print("callback", error))
        lost.wait()
        print(pool.apply_async(square, (2,), callback=lambda value: print("value", value)).get())
    pool = multiprocessing.Pool(2, maxtasksperchild=1)
    print(pool.map(raises, [0, 1, 2], chunksize=1))
    pool.close()
    pool.join()
    try:
        pool.apply(abs, (1,))
    except ValueError as error:
        print(str(error).partition(":")[0])
