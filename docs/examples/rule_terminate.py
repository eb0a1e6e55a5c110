"""Terminating processes at any moment, while they use everything that is shared."""

import random
import time

import procession as mp


def use_everything(lock, queue, condition, semaphore, counter):
    while True:
        try:
            with lock:
                counter.value += 1
        except mp.OwnerDiedError:
            pass  # another one was killed holding it; the lock is free again
        queue.put("x" * 100)
        with semaphore:
            pass
        try:
            with condition:
                condition.notify()
        except mp.OwnerDiedError:
            pass


def acquire(lock):
    try:
        return lock.acquire(timeout=60)
    except mp.OwnerDiedError:
        return lock.acquire(timeout=60)


if __name__ == "__main__":
    random.seed(1)
    lock, queue, condition = mp.Lock(), mp.Queue(), mp.Condition()
    semaphore = mp.Semaphore(1, track_holders=True)  # gives back what a killed process held
    shared = (lock, queue, condition, semaphore, mp.RawValue("i", 0))
    for _ in range(20):
        child = mp.Process(target=use_everything, args=shared)
        child.start()
        time.sleep(random.uniform(0.02, 0.06))
        child.kill()
        child.join()

    print("lock:", acquire(lock))
    print("condition:", acquire(condition))
    print("semaphore:", semaphore.acquire(timeout=60))
    while not queue.empty():
        assert queue.get() == "x" * 100
    queue.put("the queue works")
    print(queue.get())
