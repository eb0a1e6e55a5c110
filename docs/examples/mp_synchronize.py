"""The synchronisation types, over processes, a manager and threads.

    python mp_synchronize.py [processes|manager|threads]
"""

from __future__ import annotations

import random
import sys
import time
from queue import Empty

import procession
import procession.dummy


def value_func(running, mutex):
    """Wait a little, then count down."""
    random.seed()
    time.sleep(random.random())
    with mutex:
        print(f"\t\t\t{multi.current_process().name} has finished", flush=True)
        running.value -= 1


def test_value():
    """Count the processes that are still running."""
    tasks = 10
    running = api.Value("i", tasks)
    mutex = api.Lock()
    processes = [multi.Process(target=value_func, args=(running, mutex)) for _ in range(tasks)]
    for process in processes:
        process.start()
    while running.value > 0:
        time.sleep(0.08)
        with mutex:
            print(running.value, end=" ", flush=True)
    for process in processes:
        process.join()
    print("\nNo more running processes", flush=True)


def queue_func(queue):
    """Put squares, then STOP."""
    for number in range(30):
        time.sleep(0.02 * random.random())
        queue.put(number * number)
    queue.put("STOP")


def test_queue():
    """Read until STOP."""
    queue = api.Queue()
    process = multi.Process(target=queue_func, args=(queue,))
    process.start()
    item = None
    while item != "STOP":
        try:
            item = queue.get(timeout=0.3)
            print(item, end=" ", flush=True)
        except Empty:
            print("TIMEOUT", flush=True)
    process.join()
    print(flush=True)


def condition_func(condition):
    """Notify the one that waits."""
    condition.acquire()
    print("\tchild: condition =", condition, flush=True)
    time.sleep(0.5)
    print("\tchild is notifying", flush=True)
    condition.notify()
    condition.release()


def test_condition():
    """Wait with a lock that is held twice."""
    condition = api.Condition()
    process = multi.Process(target=condition_func, args=(condition,))
    print("condition =", condition, flush=True)
    condition.acquire()
    print("condition =", condition, flush=True)
    condition.acquire()
    print("condition =", condition, flush=True)
    process.start()
    print("main is waiting", flush=True)
    condition.wait()
    print("main has woken up", flush=True)
    print("condition =", condition, flush=True)
    condition.release()
    print("condition =", condition, flush=True)
    condition.release()
    process.join()
    print("condition =", condition, flush=True)


def semaphore_func(semaphore, mutex, running):
    """Be one of at most three."""
    semaphore.acquire()
    with mutex:
        running.value += 1
        print(running.value, "tasks are running", flush=True)
    time.sleep(0.1 + 0.1 * random.random())
    with mutex:
        running.value -= 1
        print(f"{multi.current_process().name} has finished", flush=True)
    semaphore.release()


def test_semaphore():
    """Ten processes, three permits."""
    semaphore = api.Semaphore(3)
    mutex = api.RLock()
    running = api.Value("i", 0)
    processes = [multi.Process(target=semaphore_func, args=(semaphore, mutex, running)) for _ in range(10)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def join_timeout_func():
    """Sleep for longer than the parent waits."""
    print("\tchild sleeping", flush=True)
    time.sleep(2.5)
    print("\n\tchild terminating", flush=True)


def test_join_timeout():
    """Join with a timeout until it works."""
    process = multi.Process(target=join_timeout_func)
    process.start()
    print("waiting for process to finish", flush=True)
    while True:
        process.join(timeout=0.5)
        if not process.is_alive():
            break
        print(".", end=" ", flush=True)


def event_func(event):
    """Wait for the event."""
    print(f"\t{multi.current_process().name} is waiting", flush=True)
    event.wait()
    print(f"\t{multi.current_process().name} has woken up", flush=True)


def test_event():
    """Five children wait, then all wake."""
    event = api.Event()
    processes = [multi.Process(target=event_func, args=(event,)) for _ in range(5)]
    for process in processes:
        process.start()
    print("main is sleeping", flush=True)
    time.sleep(0.5)
    print("main is setting event", flush=True)
    event.set()
    for process in processes:
        process.join()


VALUES = (("i", 10), ("h", -2), ("d", 1.5))
ARRAYS = (("i", range(100)), ("d", [0.25 * i for i in range(100)]), ("H", range(1000)))


def sharedvalues_func(values, arrays, shared_values, shared_arrays):
    """Compare what has arrived with what was sent."""
    for (_, value), shared in zip(values, shared_values, strict=True):
        assert shared.value == value
    for (_, array), shared in zip(arrays, shared_arrays, strict=True):
        assert list(array) == list(shared[0 : len(array)])
    print("Tests passed", flush=True)


def test_sharedvalues():
    """Read values and arrays in a child."""
    arrays = [(code, list(array)) for code, array in ARRAYS]
    shared_values = [api.Value(code, value) for code, value in VALUES]
    shared_arrays = [api.Array(code, array) for code, array in arrays]
    process = multi.Process(target=sharedvalues_func, args=(VALUES, arrays, shared_values, shared_arrays))
    process.start()
    process.join()
    assert process.exitcode == 0


FUNCTIONS = (
    test_value,
    test_queue,
    test_condition,
    test_semaphore,
    test_join_timeout,
    test_event,
    test_sharedvalues,
)

multi = procession
api = procession


def main():
    """Run all functions on the chosen kind of objects."""
    global multi, api
    kind = sys.argv[1] if len(sys.argv) > 1 else "processes"
    manager = None
    if kind == "processes":
        print(" Using processes ".center(79, "-"), flush=True)
    elif kind == "manager":
        print(" Using processes and a manager ".center(79, "-"), flush=True)
        manager = api = procession.Manager()
    elif kind == "threads":
        print(" Using threads ".center(79, "-"), flush=True)
        multi = api = procession.dummy
    else:
        raise SystemExit(__doc__)
    for function in FUNCTIONS:
        print(f"\n\t######## {function.__name__}\n", flush=True)
        function()
    if manager is not None:
        left = manager._debug_info()
        if left:
            raise ValueError(f"there are still objects in the manager:\n{left}")
        manager.shutdown()


if __name__ == "__main__":
    procession.freeze_support()
    main()
