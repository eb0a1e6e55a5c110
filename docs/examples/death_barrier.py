"""A party of a barrier is killed while it waits: the others are told."""

import threading
import time

import procession as mp


def wait(barrier):
    barrier.wait()


if __name__ == "__main__":
    barrier = mp.Barrier(3)
    child = mp.Process(target=wait, args=(barrier,))
    child.start()
    while barrier.n_waiting < 1:
        time.sleep(0.01)
    child.kill()
    child.join()
    try:
        barrier.wait(timeout=60)
    except threading.BrokenBarrierError:
        print("broken:", barrier.broken)
    barrier.reset()
    print("broken:", barrier.broken)
