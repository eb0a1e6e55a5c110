"""Workers that are asked to stop, that refuse, that are killed, that fail; and what the parent learns of it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import time


def stop(number, frame):
    raise SystemExit(40 + number)


def obedient(ready):
    signal.signal(signal.SIGTERM, stop)
    try:
        ready.set()
        time.sleep(1000)
    finally:
        print("cleaned up", flush=True)


def stubborn(ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    time.sleep(1000)


def plain(ready):
    ready.set()
    time.sleep(1000)


def leaves(ready):
    ready.set()
    sys.exit("said on the way out")


def fails(ready):
    ready.set()
    raise RuntimeError("failed on purpose")


def hard(ready):
    atexit.register(print, "never printed")
    ready.set()
    os._exit(9)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    for target in (obedient, stubborn, plain, leaves, fails, hard):
        ready = multiprocessing.Event()
        process = multiprocessing.Process(target=target, args=(ready,), name=target.__name__)
        process.start()
        ready.wait()
        if target in (obedient, stubborn, plain):
            print(process.is_alive(), process.exitcode)
            process.terminate()
            process.join(0.5 if target is stubborn else None)
            if process.is_alive():
                print("still alive")
                process.kill()
        process.join()
        print(target.__name__, process.exitcode, process.is_alive(), flush=True)
        process.close()
        try:
            process.is_alive()
        except ValueError:
            print("closed")
