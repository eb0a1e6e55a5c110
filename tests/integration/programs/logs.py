"""Workers log through a queue to a listener in the main process."""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import sys

lines = []


class Keep(logging.Handler):
    def emit(self, record):
        lines.append(self.format(record))


def configure(queue):
    root = logging.getLogger()
    root.handlers = [logging.handlers.QueueHandler(queue)]
    root.setLevel(logging.INFO)


def work(queue, number):
    configure(queue)
    logger = logging.getLogger(f"worker.{number}")
    logger.info("working on %s", number)
    logger.debug("not seen")
    try:
        1 / number
    except ZeroDivisionError:
        logger.exception("cannot divide")


def init(queue):
    configure(queue)


def task(number):
    logging.getLogger("pool").warning("task %d", number)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    queue = multiprocessing.Queue()
    handler = Keep()
    handler.setFormatter(logging.Formatter("%(processName)s %(name)s %(levelname)s %(message)s"))
    listener = logging.handlers.QueueListener(queue, handler)
    listener.start()
    processes = [multiprocessing.Process(target=work, args=(queue, n), name=f"w{n}") for n in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    with multiprocessing.Pool(1, init, (queue,)) as pool:
        pool.map(task, range(3))
        pool.close()
        pool.join()
    listener.stop()
    for line in sorted(lines):
        print(line.splitlines()[0].replace("SpawnPool", "Pool").replace("ForkServerPool", "Pool"))
    logger = multiprocessing.get_logger()
    print(logger.getEffectiveLevel(), multiprocessing.log_to_stderr("CRITICAL") is logger)
