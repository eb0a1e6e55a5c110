"""Blocks of named memory that several processes write to, and lists in them."""

from __future__ import annotations

import sys
from multiprocessing import Process, set_start_method
from multiprocessing.managers import SharedMemoryManager
from multiprocessing.shared_memory import ShareableList, SharedMemory


def fill(name, start, stop):
    memory = SharedMemory(name)
    for index in range(start, stop):
        memory.buf[index] = index % 256
    memory.close()


def double(numbers):
    for index in range(len(numbers)):
        if isinstance(numbers[index], int):
            numbers[index] *= 2
    numbers[2] = "changed"
    numbers.shm.close()


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    memory = SharedMemory(create=True, size=1000)
    processes = [Process(target=fill, args=(memory.name, n * 250, n * 250 + 250)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(sum(memory.buf[:1000]), memory.size >= 1000, [process.exitcode for process in processes])
    memory.close()
    memory.unlink()
    try:
        SharedMemory(memory.name)
    except FileNotFoundError:
        print("gone")
    with SharedMemoryManager() as manager:
        numbers = manager.ShareableList([1, 2.5, "text---", None, True, b"bytes"])
        process = Process(target=double, args=(numbers,))
        process.start()
        process.join()
        print(list(numbers), numbers.count(None), numbers.index(2.5), process.exitcode)
        print(type(manager.SharedMemory(10)) is SharedMemory, isinstance(numbers, ShareableList))
