"""Processes fill shared arrays in phases that a barrier, a condition and a semaphore keep apart."""

from __future__ import annotations

import ctypes
import multiprocessing as mp
import sys

SIZE = 6


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("n", ctypes.c_int)]


def work(number, barrier, array, raw, points, gate, most):
    with gate:
        with most.get_lock():
            most.value = max(most.value, number)
        array[number] = number * number
        raw[number] = number / 2
    barrier.wait(60)
    points[number].x = sum(array[:])
    points[number].n = number
    if barrier.wait(60) == 0:
        with array.get_lock():
            array[0] = -1


def wait(condition, state):
    with condition:
        condition.wait_for(lambda: state.value == b"go")
        state.value = b"gone"
        condition.notify_all()


if __name__ == "__main__":
    mp.set_start_method(sys.argv[1])
    barrier, gate = mp.Barrier(SIZE), mp.BoundedSemaphore(2)
    array, raw = mp.Array("i", SIZE), mp.RawArray(ctypes.c_double, SIZE)
    points, most = mp.Array(Point, SIZE, lock=False), mp.Value("i", -1)
    processes = [
        mp.Process(target=work, args=(n, barrier, array, raw, points, gate, most)) for n in range(SIZE)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    print(array[:], raw[:], [(point.x, point.n) for point in points], most.value, barrier.n_waiting)
    condition, state = mp.Condition(), mp.Array("c", b"wait")
    process = mp.Process(target=wait, args=(condition, state))
    process.start()
    with condition:
        state.value = b"go"
        condition.notify_all()
        condition.wait_for(lambda: state.value == b"gone")
    process.join()
    print(state.value, process.exitcode)
