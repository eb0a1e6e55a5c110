"""Let all workers read one numpy array, without a copy for each."""

import numpy

import procession as mp


def total(shared, start, stop):
    array = shared.get()  # a read-only view of the shared memory
    return float(array[start:stop].sum())


if __name__ == "__main__":
    array = numpy.arange(1_000_000, dtype="float64")
    shared = mp.share(array)  # one copy, into shared memory
    parts = [(shared, start, start + 250_000) for start in range(0, 1_000_000, 250_000)]
    with mp.Pool(2) as pool:
        sums = pool.starmap(total, parts)
    print(sum(sums) == array.sum())
    print("writeable:", shared.get().flags.writeable)
