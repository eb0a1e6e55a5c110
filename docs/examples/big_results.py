"""Big results of tasks come back through shared memory."""

import numpy

import procession as mp


def make(number):
    return numpy.full(500_000, number, dtype="float64")  # 4 MB


if __name__ == "__main__":
    with mp.Pool(2) as pool:
        for array in pool.imap(make, range(3)):
            print(array.shape, array[0], array.flags.writeable)
