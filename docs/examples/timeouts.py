"""Limits of time: for waiting, for a task, and a polite one."""

import time

import procession as mp
from procession.pool import SoftTimeoutError, TaskTimeoutError


def sleep(seconds):
    time.sleep(seconds)
    return "slept"


def careful(seconds):
    try:
        time.sleep(seconds)
    except SoftTimeoutError:
        return "stopped in order"
    return "slept"


if __name__ == "__main__":
    with mp.Pool(2) as pool:
        # Waiting for at most so long; the task goes on.
        result = pool.apply_async(sleep, (0.5,))
        try:
            result.get(timeout=0.05)
        except mp.TimeoutError:
            print("not yet")
        print(result.get())

        # A task that runs longer than its timeout is ended, with its worker.
        try:
            pool.apply_async(sleep, (600,), timeout=0.2).get()
        except TaskTimeoutError:
            print("the task was ended")

        # A soft timeout is an exception inside the task.
        print(pool.apply_async(careful, (600,), soft_timeout=0.2).get())

        # Nobody wants the result any more.
        result = pool.apply_async(sleep, (600,))
        print("cancelled:", result.cancel())
        print(pool.apply(sleep, (0,)))
