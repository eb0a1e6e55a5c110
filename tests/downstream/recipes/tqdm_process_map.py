# requires: tqdm>=4.60
"""tqdm's process_map."""

from __future__ import annotations

from tqdm.contrib.concurrent import process_map


def square(number):
    return number * number


if __name__ == "__main__":
    print(process_map(square, range(50), max_workers=2, chunksize=5, disable=None))
