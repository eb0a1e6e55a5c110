"""What a cluster's pool costs beside plain ``distributed.Client.map``, on a scheduler and two workers on this machine.

Usage: ``python tools/cluster_overhead.py [--tasks N] [--repeats N] [--json FILE]``. Needs procession-cluster[dask]. The
ways are measured in turns, each figure is the median; the ratio is to plain Dask in the same run. Ends with status 1
where the pool costs more than 1.2 times plain Dask.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

LIMIT = 1.2


def tiny(x: int) -> int:
    return x + 1


def medium(x: int) -> int:
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end:
        pass
    return x + 1


def ways(
    client: Any, pool: Any, function: Callable[[int], int], count: int
) -> dict[str, Callable[[], list[int]]]:
    return {
        "Client.map and gather": lambda: client.gather(client.map(function, range(count), pure=False)),
        "Pool.map, chunksize=1": lambda: pool.map(function, range(count), chunksize=1),
        "Pool.map": lambda: pool.map(function, range(count)),
        "Pool.imap": lambda: list(pool.imap(function, range(count))),
    }


def measure(found: dict[str, Callable[[], list[int]]], count: int, repeats: int) -> dict[str, float]:
    """Return way -> median seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in found}
    expected = [x + 1 for x in range(count)]
    for _ in range(repeats):
        for name, run in found.items():
            begun = time.perf_counter()
            result = run()
            seconds[name].append(time.perf_counter() - begun)
            if result != expected:
                raise SystemExit(f"{name} returned something wrong")
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def main(arguments: list[str]) -> int:
    """The command: measure, print a table, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args(arguments)

    import distributed

    from procession_cluster import ClusterContext

    rows: list[dict[str, Any]] = []
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
        ClusterContext(client) as context,
        context.Pool() as pool,
    ):
        pool.map(tiny, range(100), chunksize=1)
        for name, function, count in (
            ("x + 1", tiny, options.tasks),
            ("10 ms of work", medium, options.tasks // 4),
        ):
            medians = measure(ways(client, pool, function, count), count, options.repeats)
            plain = medians["Client.map and gather"]
            rows += [
                {
                    "task": name,
                    "tasks": count,
                    "way": way,
                    "microseconds": taken / count * 1e6,
                    "ratio": taken / plain,
                }
                for way, taken in medians.items()
            ]
    print("| task | tasks | way | µs a task | of plain Dask |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        print("| {task} | {tasks} | {way} | {microseconds:.0f} | {ratio:.2f} |".format(**row))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"distributed": distributed.__version__, "rows": rows}, file, indent=1)
    slow = [row for row in rows if row["ratio"] > LIMIT]
    for row in slow:
        print(f"{row['way']} takes {row['ratio']:.2f} times plain Dask, {LIMIT} is allowed", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
