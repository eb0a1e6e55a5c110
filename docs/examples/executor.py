"""The interface of concurrent.futures on a pool."""

from concurrent.futures import as_completed

import procession as mp


def cube(number):
    return number**3


if __name__ == "__main__":
    with mp.Pool(2) as pool:
        executor = pool.executor()
        futures = [executor.submit(cube, number) for number in range(5)]
        print(sorted(future.result() for future in as_completed(futures)))
        print(list(executor.map(cube, range(5))))
