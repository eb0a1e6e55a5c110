"""aget() and aput()."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from procession_queues import Queue, ShutDown
from tests.queues.children import PATIENCE, finish, put_later, start


def test_aget_at_once_and_after_a_wait() -> None:
    async def main() -> None:
        queue = Queue()
        queue.put(1)
        assert await queue.aget() == 1
        threads = threading.active_count()
        tasks = [asyncio.create_task(queue.aget()) for _ in range(5)]
        await asyncio.sleep(0.02)
        assert not any(task.done() for task in tasks)
        assert threading.active_count() == threads
        for i in range(5):
            queue.put(i)
        assert sorted(await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)) == list(range(5))

    asyncio.run(main())


def test_aget_from_a_child(make: Any, start_method: str) -> None:
    queue = make.Queue()

    async def main() -> None:
        waiting = asyncio.create_task(queue.aget())
        await asyncio.sleep(0)
        child = start(start_method, put_later, queue, 0.05, "ding")
        assert await asyncio.wait_for(waiting, PATIENCE) == "ding"
        finish(child)

    asyncio.run(main())


def test_cancelled_aget_takes_nothing() -> None:
    async def main() -> None:
        queue = Queue()
        task = asyncio.create_task(queue.aget())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        queue.put(1)
        assert await asyncio.wait_for(queue.aget(), PATIENCE) == 1

    asyncio.run(main())


def test_aput_waits_for_room() -> None:
    async def main() -> None:
        queue = Queue(1)
        await queue.aput(0)
        task = asyncio.create_task(queue.aput(1))
        await asyncio.sleep(0.02)
        assert not task.done()
        assert queue.get() == 0
        await asyncio.wait_for(task, PATIENCE)
        assert queue.get(timeout=PATIENCE) == 1

    asyncio.run(main())


@pytest.mark.native_only
def test_shutdown_wakes_aget() -> None:
    async def main() -> None:
        queue = Queue()
        task = asyncio.create_task(queue.aget())
        await asyncio.sleep(0.01)
        queue.shutdown()
        with pytest.raises(ShutDown):
            await asyncio.wait_for(task, PATIENCE)

    asyncio.run(main())
