"""Worker processes that read a queue of tasks and write a queue of results."""

import random
import time

import procession as mp

PROCESSES = 4


def worker(tasks, results):
    for function, args in iter(tasks.get, "STOP"):
        results.put(f"{mp.current_process().name} says that {function.__name__}{args} = {function(*args)}")


def mul(a, b):
    time.sleep(0.5 * random.random())
    return a * b


def plus(a, b):
    time.sleep(0.5 * random.random())
    return a + b


def main():
    first = [(mul, (i, 7)) for i in range(20)]
    second = [(plus, (i, 8)) for i in range(10)]
    tasks, results = mp.Queue(), mp.Queue()
    tasks.put_many(first)

    for _ in range(PROCESSES):
        mp.Process(target=worker, args=(tasks, results)).start()

    print("Unordered results:")
    for _ in first:
        print("\t", results.get())

    tasks.put_many(second)  # one call, one lock
    for _ in second:
        print("\t", results.get())

    for _ in range(PROCESSES):
        tasks.put("STOP")


if __name__ == "__main__":
    main()
