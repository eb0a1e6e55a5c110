# requires: pebble>=5
"""pebble: timeouts, cancellation and a task that dies."""

from __future__ import annotations

import os
import time
from concurrent.futures import TimeoutError  # noqa: A004

from pebble import ProcessExpired, ProcessPool


def work(number):
    if number == 3:
        time.sleep(60)
    if number == 4:
        os._exit(5)
    return number * 2


if __name__ == "__main__":
    with ProcessPool(max_workers=2) as pool:
        for number in range(6):
            try:
                print(number, pool.schedule(work, args=(number,), timeout=2).result())
            except TimeoutError:
                print(number, "timeout")
            except ProcessExpired as error:
                print(number, "expired with", error.exitcode)
