# quick
# methods: fork spawn forkserver
"""logging.handlers.QueueListener: records of several processes, through a queue, to one handler."""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import sys


class Collect(logging.Handler):
    records: list = []

    def emit(self, record):
        self.records.append((record.processName, record.levelname, record.getMessage()))


def work(queue, number):
    logger = logging.getLogger("worker")
    logger.addHandler(logging.handlers.QueueHandler(queue))
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for step in range(3):
        logger.info("step %d of %d", step, number)
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception("failed")


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    listener = logging.handlers.QueueListener(queue, Collect())
    listener.start()
    processes = [context.Process(target=work, args=(queue, n), name=f"worker-{n}") for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    listener.stop()
    for name, level, message in sorted(Collect.records):
        print(name, level, message.splitlines()[0])
