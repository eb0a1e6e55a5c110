"""State that a worker keeps, a log that names the task, figures of the pool."""

import logging
import sys

import procession as mp
from procession.pool import log_tasks, worker_state


def begin():
    log_tasks()
    logging.basicConfig(format="%(poolTask)s: %(message)s", stream=sys.stdout)
    worker_state().seen = 0


def end():
    return worker_state().seen


def check(number):
    worker_state().seen += 1
    if number == 3:
        logging.warning("three is odd")
    return number % 2 == 0


def main():
    with mp.Pool(2, initializer=begin, on_exit=end) as pool:
        print(pool.map(check, range(6), chunksize=1), flush=True)
        print(pool.stats()["tasks"], "tasks")
        pool.close()
        pool.join()
        print(sum(pool.exit_values()), "seen by the workers")


if __name__ == "__main__":
    main()
