"""One proxy, many threads: each thread has a connection of its own."""

import threading

import procession as mp


def add(table, number):
    for i in range(100):
        table[number, i] = True


if __name__ == "__main__":
    with mp.Manager() as manager:
        table = manager.dict()
        threads = [threading.Thread(target=add, args=(table, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(table))
