"""Workers write into one array that the parent reads."""

import numpy

import procession as mp

SHAPE = (4, 1000)


def as_array(memory):
    return numpy.frombuffer(memory, dtype="float64").reshape(SHAPE)


def fill(memory, row):
    as_array(memory)[row] = row  # no two children write the same row: no lock needed


if __name__ == "__main__":
    memory = mp.RawArray("d", SHAPE[0] * SHAPE[1])
    children = [mp.Process(target=fill, args=(memory, row)) for row in range(SHAPE[0])]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(as_array(memory).mean(axis=1))
