"""A task that kills its worker costs only itself."""

import os
import signal

import procession as mp


def work(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    return number * number


if __name__ == "__main__":
    with mp.Pool(2) as pool:
        results = [pool.apply_async(work, (number,)) for number in range(6)]
        for number, result in enumerate(results):
            try:
                print(number, result.get())
            except mp.WorkerDiedError as error:
                print(number, "failed:", error.signal_name)
        print("the pool still works:", pool.apply(work, (10,)))
