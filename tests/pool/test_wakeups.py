"""Results that nobody waits for are collected by the pool's own thread, whenever they come."""

from __future__ import annotations

import threading

import procession_pool
from procession_process import ForkProcess


class Fork:
    Process = ForkProcess

    @staticmethod
    def cpu_count() -> int:
        return 2


def same(value: int) -> int:
    return value


def test_the_first_result_is_not_lost_between_sending_the_task_and_asking_to_be_woken() -> None:
    # The task was sent before the pool asked its workers to be woken for every result: a quick one had answered then.
    for _ in range(60):
        with procession_pool.Pool(2, context=Fork()) as pool:
            done = threading.Event()

            def again(value: int, pool: procession_pool.Pool = pool, done: threading.Event = done) -> None:
                pool.apply_async(same, (value + 1,), callback=lambda _: done.set())

            pool.apply_async(same, (1,), callback=again)
            assert done.wait(30)
