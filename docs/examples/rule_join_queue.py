"""Joining a process before reading what it put: the program of the 2009 manual that deadlocked."""

import procession as mp


def f(queue):
    queue.put("X" * 1_000_000)


if __name__ == "__main__":
    queue = mp.Queue()
    child = mp.Process(target=f, args=(queue,))
    child.start()
    child.join()
    print(child.exitcode, len(queue.get()))
