"""Worker objects take tasks from a JoinableQueue until they find a poison pill, or until an event stops them."""

from __future__ import annotations

import multiprocessing as mp
import queue
import sys
import time


class Task:
    def __init__(self, a, b):
        self.a, self.b = a, b

    def __call__(self):
        return self.a * self.b

    def __str__(self):
        return f"{self.a} * {self.b}"


class Consumer(mp.Process):
    def __init__(self, tasks, results):
        super().__init__(name=f"consumer of {tasks.__class__.__name__}")
        self.tasks, self.results = tasks, results

    def run(self):
        while True:
            task = self.tasks.get()
            if task is None:
                self.tasks.task_done()
                break
            self.results.put((str(task), task()))
            self.tasks.task_done()


class Ticker(mp.Process):
    daemon_wanted = True

    def __init__(self, stop, ticks):
        mp.Process.__init__(self)
        self.stop, self.ticks, self.daemon = stop, ticks, self.daemon_wanted

    def run(self):
        while not self.stop.wait(0.01):
            with self.ticks:
                self.ticks.value += 1


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    tasks, results = mp.JoinableQueue(), mp.Queue()
    consumers = [Consumer(tasks, results) for _ in range(3)]
    for consumer in consumers:
        consumer.start()
    for number in range(20):
        tasks.put(Task(number, number))
    for _ in consumers:
        tasks.put(None)
    tasks.join()
    print(sorted(results.get() for _ in range(20)))
    for consumer in consumers:
        consumer.join()
    print([(consumer.name, consumer.exitcode) for consumer in consumers])
    try:
        results.get(timeout=0.01)
    except queue.Empty:
        print("empty")

    stop, ticks = mp.Event(), mp.Value("l")
    ticker = Ticker(stop, ticks)
    ticker.start()
    while ticks.value < 3:
        time.sleep(0.01)
    stop.set()
    ticker.join(60)
    print(ticker.exitcode, ticker.daemon, ticker.is_alive(), ticks.value >= 3)
