"""End processes, politely and not, and read how they ended."""

import signal
import time

import procession as mp


def sleep(ready):
    ready.set()
    time.sleep(600)


def stubborn(ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep(ready)


def start(target):
    ready = mp.Event()
    child = mp.Process(target=target, args=(ready,))
    child.start()
    ready.wait()
    return child


if __name__ == "__main__":
    child = start(sleep)
    child.terminate()  # SIGTERM
    child.join()
    print(child.exitcode, child.death)

    child = start(stubborn)
    child.terminate()
    child.join(timeout=0.2)
    print("alive:", child.is_alive())
    child.kill()  # SIGKILL
    child.join()
    print(child.exitcode, child.death)
