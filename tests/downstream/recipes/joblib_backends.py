# requires: joblib>=1.4
"""joblib with its multiprocessing backend and with its default one, whose workers keep the standard library."""

from __future__ import annotations

from joblib import Parallel, delayed


def square(number):
    return number * number


if __name__ == "__main__":
    for backend in ("multiprocessing", "loky", "threading"):
        print(backend, Parallel(n_jobs=2, backend=backend)(delayed(square)(n) for n in range(20)))
