"""Let a task be tried again when its worker dies."""

import os
import signal

import procession as mp


def unreliable(attempts, lock):
    with lock:
        attempts.value += 1
        number = attempts.value
    if number < 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"done at attempt {number}"


if __name__ == "__main__":
    attempts, lock = mp.RawValue("i", 0), mp.Lock()
    with mp.Pool(1) as pool:
        print(pool.apply_async(unreliable, (attempts, lock), retries=5).get())
