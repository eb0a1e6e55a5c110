"""A process is killed while it holds a lock."""

import os
import signal

import procession as mp


def die_with(lock):
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    lock = mp.Lock()
    child = mp.Process(target=die_with, args=(lock,), name="Unlucky")
    child.start()
    child.join()
    try:
        lock.acquire()
    except mp.OwnerDiedError as error:
        print("owner:", error.name, error.pid == child.pid)
        # Repair here what the lock protects: it may be half changed.
    with lock:
        print("the lock works")
