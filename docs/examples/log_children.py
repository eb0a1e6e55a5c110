"""The log records of children are handled in the parent, by its handlers, in order."""

import logging
import sys

import procession as mp
from procession_process import log_to_parent


def work(number):
    logger = logging.getLogger("shop")
    logger.info("order %d", number)
    logger.debug("not shown")
    if number == 3:
        logger.warning("that is many")


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, format="%(processName)s %(name)s %(levelname)s: %(message)s")
    log_to_parent("INFO")
    for number in (1, 3):
        process = mp.Process(target=work, args=(number,), name=f"clerk-{number}")
        process.start()
        process.join()
    print("both have ended")
