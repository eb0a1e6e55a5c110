"""Lists of numbers that are longer than a channel: chunks of tasks, their results, one big result."""

from __future__ import annotations

import pytest

import procession_pool


def cube(number):
    return number**3


def numbers(count):
    return [float(n) for n in range(count)]


@pytest.mark.parametrize("count", [2047, 2048, 2049, 4096, 10_000, 100_000])
def test_chunks_and_results_of_every_length(count):
    with procession_pool.Pool(2) as pool:
        expected = [n**3 for n in range(2 * count)]
        assert pool.map_async(cube, range(2 * count), chunksize=count).get(60) == expected
        assert list(pool.imap(cube, range(2 * count), chunksize=count)) == expected
        assert pool.apply_async(numbers, (count,)).get(60) == numbers(count)
        assert pool.apply_async(len, (list(range(count)),)).get(60) == count
