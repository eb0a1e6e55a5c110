"""Threads use every kind of object while children are forked, and each child uses each; started by
test_fork_threads.py.

Argument: the number of children. A child that is not done after a while prints where its threads stand and fails.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import queue
import sys
import threading
import warnings

import procession as mp

PATIENCE = 60.0


class Written(logging.Handler):
    """A file object would have a lock of the interpreter, which nothing frees in a child."""

    def __init__(self):
        super().__init__()
        self.null = os.open(os.devnull, os.O_WRONLY)

    def emit(self, record):
        os.write(self.null, self.format(record).encode())


class Objects:
    def __init__(self, manager):
        self.lock, self.rlock, self.condition, self.semaphore = (
            mp.Lock(),
            mp.RLock(),
            mp.Condition(),
            mp.Semaphore(3),
        )
        self.event, self.queue, self.joinable, self.simple = (
            mp.Event(),
            mp.Queue(),
            mp.JoinableQueue(),
            mp.SimpleQueue(),
        )
        self.reads, self.writes = mp.Pipe(duplex=False)
        self.value, self.array, self.shared = mp.Value("l", 0), mp.Array("i", 3), manager.dict()


def take(where):
    try:
        where.get(timeout=0.01)
    except queue.Empty:
        pass


def nested(lock):
    with lock:
        pass


def ask_fork_server():
    return mp.get_context("forkserver").Process(target=abs, args=(1,))


def child(objects, number):
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    with objects.lock, objects.rlock, objects.rlock, objects.semaphore:
        pass
    with objects.condition:
        objects.condition.notify_all()
    objects.event.set()
    objects.event.wait(0)
    objects.queue.put(bytes(200_000 if number % 5 == 0 else 10))
    take(objects.queue)
    objects.joinable.put(1)
    objects.simple.put(1)
    objects.writes.send(number)
    with objects.value.get_lock():
        objects.value.value += 1
    objects.array[0] = number
    logging.getLogger("child").info("child %d", number)
    mp.get_logger().info("child")
    objects.shared[number] = os.getpid()
    own = mp.Queue()
    own.put(number)
    if own.get() != number:
        os._exit(2)
    reads, writes = mp.Pipe()
    writes.send(number)
    reads.recv()
    with mp.Lock(), mp.Semaphore(1):
        mp.RawArray("i", 100)
    thread = threading.Thread(target=objects.queue.put, args=(1,))
    thread.start()
    thread.join()
    if number % 2 == 0:
        process = ask_fork_server() if number % 4 else mp.Process(target=nested, args=(objects.lock,))
        process.start()
        process.join()
        if process.exitcode:
            os._exit(3)
    faulthandler.cancel_dump_traceback_later()


def users(objects, pool):
    """Return what the threads of the parent do again and again."""

    def use_locks():
        with objects.lock, objects.rlock, objects.semaphore:
            pass

    def use_condition():
        with objects.condition:
            objects.condition.wait(0.001)

    def use_queue():
        objects.queue.put(bytes(100_000))
        take(objects.queue)

    def use_joinable():
        objects.joinable.put(1)
        objects.joinable.get()
        objects.joinable.task_done()

    def use_pipes():
        reads, writes = mp.Pipe()
        writes.send(bytes(1000))
        reads.recv()
        if objects.reads.poll(0.001):
            objects.reads.recv()

    def drain():
        while not objects.simple.empty():
            objects.simple.get()
        with objects.value.get_lock():
            objects.value.value += 0

    def use_logging():
        logging.getLogger("parent").info("parent")
        mp.get_logger().info("parent")

    def use_pool():
        pool.map(abs, range(20))

    def use_manager():
        objects.shared["parent"] = 1

    def allocate():
        mp.RawArray("i", 1000), mp.Lock(), mp.Event(), mp.Queue()

    def fork():
        process = mp.Process(target=nested, args=(objects.lock,))
        process.start()
        process.join()

    def use_fork_server():
        process = ask_fork_server()
        process.start()
        process.join()

    return [
        use_locks, use_condition, use_queue, use_joinable, use_pipes, drain, use_logging, use_pool, use_manager,
        allocate, fork, use_fork_server,
    ]  # fmt: skip


def main(number):
    warnings.simplefilter("ignore", DeprecationWarning)  # that of a fork beside threads
    logging.basicConfig(handlers=[Written()], level=1)
    mp.set_start_method("fork")
    with mp.Manager() as manager, mp.Pool(2) as pool:
        objects = Objects(manager)
        stop = threading.Event()
        wrong = []

        def run(use):
            try:
                while not stop.is_set():
                    use()
            except BaseException as error:
                wrong.append((use.__name__, error))
                raise

        threads = [threading.Thread(target=run, args=(use,)) for use in users(objects, pool)]
        for thread in threads:
            thread.start()
        bad = []
        for start in range(0, number, 3):
            processes = [mp.Process(target=child, args=(objects, start + n)) for n in range(3)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
                if process.exitcode:
                    bad.append((process.name, process.exitcode))
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
        left = [thread.name for thread in threads if thread.is_alive()]
        print(f"{bad} {left} {wrong} {objects.value.value >= number}", flush=True)
    if left:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
