"""Waiting for a queue in an event loop: one reader of the loop for each queue, no thread."""

from __future__ import annotations

from collections import deque
from weakref import WeakKeyDictionary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable
    from typing import Any


class Gate:
    """The tasks of one loop that wait for one descriptor."""

    def __init__(self, loop: AbstractEventLoop, descriptor: int) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._waiters: deque[Future[None]] = deque()

    async def wait(self) -> None:
        """Return when the descriptor was readable; it may be spurious."""
        waiter: Future[None] = self._loop.create_future()
        if not self._waiters:
            self._loop.add_reader(self._descriptor, self._wake)
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            try:
                self._waiters.remove(waiter)
            except ValueError:
                pass
            if not self._waiters:
                self._loop.remove_reader(self._descriptor)

    def _wake(self) -> None:
        # The descriptor stays readable while there is more, so the next round wakes the next task.
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break
        if not self._waiters:
            self._loop.remove_reader(self._descriptor)


_gates: WeakKeyDictionary[Any, dict[tuple[int, int], Gate]] = WeakKeyDictionary()


async def attempt(
    queue: Any, room: bool, call: Callable[..., Any], again: type[Exception], *args: object
) -> Any:
    """Repeat ``call(*args)`` until it does not raise *again*, asleep in between until the queue has changed.

    Raises whatever else the call raises.
    """
    import asyncio

    pause = 0.0
    while True:
        try:
            return call(*args)
        except again:
            pass
        if pause:
            # Readiness was spurious twice: another process is faster, or the message is too large for the room.
            await asyncio.sleep(min(pause, 0.02))
        if room and not hasattr(queue, "_room_fileno"):
            pause = pause * 2 or 0.0005  # a pipe tells nobody that it was read
            continue
        loop = asyncio.get_running_loop()
        descriptor = queue._room_fileno() if room else queue.fileno()
        gates = _gates.setdefault(queue, {})
        key = (id(loop), descriptor)
        gate = gates.get(key)
        if gate is None or gate._loop is not loop:
            gate = gates[key] = Gate(loop, descriptor)
        await gate.wait()
        pause = pause * 2 or 0.0005
