# requires: mpire>=2.10
"""mpire's worker pool."""

from __future__ import annotations

from mpire import WorkerPool


def work(shared, number):
    return shared + number * number


if __name__ == "__main__":
    with WorkerPool(n_jobs=2, shared_objects=1000) as pool:
        print(pool.map(work, range(30)))
