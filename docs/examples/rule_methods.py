"""Bound methods are fine as targets, under every start method."""

import procession as mp


class Account:
    def __init__(self, owner):
        self.owner = owner

    def report(self, queue):
        queue.put(f"report of {self.owner}")


if __name__ == "__main__":
    queue = mp.Queue()
    child = mp.Process(target=Account("Ann").report, args=(queue,))
    child.start()
    child.join()
    print(queue.get())
