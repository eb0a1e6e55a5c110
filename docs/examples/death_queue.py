"""Writers and readers of a queue are killed; the others go on."""

import os
import signal
import time

import procession as mp


def write_and_die(queue):
    for number in range(1000):
        queue.put(number)
    os.kill(os.getpid(), signal.SIGKILL)


def read(queue, ready):
    ready.set()
    queue.get()  # killed while it waits here
    time.sleep(600)


if __name__ == "__main__":
    queue, ready = mp.Queue(), mp.Event()
    reader = mp.Process(target=read, args=(queue, ready))
    reader.start()
    ready.wait()
    time.sleep(0.1)
    reader.kill()
    reader.join()

    writer = mp.Process(target=write_and_die, args=(queue,))
    writer.start()
    writer.join()
    print(writer.exitcode, [queue.get() for _ in range(1000)] == list(range(1000)), queue.empty())
