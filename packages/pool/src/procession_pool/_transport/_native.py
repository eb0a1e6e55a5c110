"""Channels in the arena: the C core's rings."""

from __future__ import annotations

import os
import select
import sys

if sys.platform == "win32":
    raise ImportError("procession_pool._transport._native needs POSIX")

import time

from procession_core import current_transfer
from procession_shm import native

from ._stacks import StackFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

core: Any = native

TASK_RING = 65536
RESULT_RING = 65536


class NativeHub:
    """The pool's hub, and what its thread waits on."""

    workers_share = True  # nothing is lost if one worker inherits what another one got

    def __init__(self) -> None:
        self.block: Any = core.Block(core.HUB_SIZE, True)
        self.eventfd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        hub = core.Hub(self.block)
        self._hub = hub
        self.wait = hub.wait
        self.lead = hub.lead
        self.supervise = hub.supervise
        self.refill = hub.refill
        self.ring_leader = hub.ring_leader
        self.any = hub.any
        self.drain = hub.drain

    def wake(self) -> None:
        """Wake the pool's thread."""
        try:
            os.eventfd_write(self.eventfd, 1)
        except (OSError, ValueError):  # closed: it has ended
            pass

    def wait_all(self, channels: list[Any], sentinels: list[int], timeout: float | None) -> set[int]:
        """Wait for a ring or an end; return the sentinels of workers that have ended."""
        poll = select.poll()
        eventfd = self.eventfd
        poll.register(eventfd, select.POLLIN)
        for sentinel in sentinels:
            poll.register(sentinel, select.POLLIN)
        found = poll.poll(None if timeout is None else int(timeout * 1000) + (timeout > 0))
        ended = set()
        for fd, _ in found:
            if fd == eventfd:
                try:
                    os.eventfd_read(eventfd)
                except BlockingIOError:
                    pass
            else:
                ended.add(fd)
        self._hub.heard()
        return ended

    def close(self) -> None:
        """Close the descriptor; the pool's thread has ended."""
        fd, self.eventfd = self.eventfd, -1
        if fd >= 0:
            os.close(fd)


class NativeLink:
    """One channel; pickled into a worker that is spawned, inherited by one that is forked."""

    def __init__(self, hub: NativeHub) -> None:
        self._hub_block = hub.block
        self._eventfd = hub.eventfd
        self._block: Any = core.Block(core.CHANNEL_HEADER + TASK_RING + RESULT_RING)
        core.channel_format(self._block, TASK_RING, RESULT_RING)
        self.stack = StackFile()
        self.channel: Any = core.Channel(self._block, self._hub_block, self._eventfd)

    @property
    def stack_fd(self) -> int:
        """Where the worker writes its last stack."""
        return self.stack.fd

    def read_stack(self) -> str | None:
        """Return the worker's last stack, if it wrote one."""
        return self.stack.read()

    def dump_stack(self, pid: int) -> bool:
        """Ask a worker for its stack; False: that cannot be."""
        return self.stack.ask(pid)

    def started(self) -> None:
        """The worker has its side."""

    def hold(self, name: str, stop: bytes, life_read: int, life_write: int) -> None:
        """Let the worker that is forked next sleep until it is sent something; it ends if that is *stop*."""
        self.channel.hold_fork(name, stop[0], life_read, life_write)

    def hold_none(self) -> None:
        """It was not forked."""
        self.channel.hold_no_fork()

    def close(self) -> None:
        """Give back the pool's side."""
        self.stack.close()

    def open(self) -> WorkerChannel:
        """In the worker: its side."""
        return WorkerChannel(core.Channel(self._block, self._hub_block, self._eventfd))

    def __reduce__(self) -> tuple[Any, ...]:
        transfer = current_transfer()
        if transfer is None:
            raise TypeError("the link to a pool's worker can only be given to that worker")
        token = transfer.send_fd(self._eventfd)
        return rebuild_link, (self._block, self._hub_block, token, self.stack)


def rebuild_link(block: Any, hub_block: Any, token: Any, stack: StackFile) -> NativeLink:
    """In a spawned worker: the link that was sent."""
    link = NativeLink.__new__(NativeLink)
    link._block = block
    link._hub_block = hub_block
    link._eventfd = token.detach()
    link.stack = stack
    link.channel = None
    return link


class WorkerChannel:
    """The worker's side."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.next = channel.next
        self.run = channel.run
        self.emit = channel.emit
        self.positions = channel.positions

    @property
    def in_hand(self) -> bool:
        """Whether a batch has tasks left."""
        return self._channel.in_hand  # type: ignore[no-any-return]

    def drained(self, timeout: float) -> bool:
        """Wait until the pool has read everything."""
        deadline = time.monotonic() + timeout
        while True:
            written, read = self.positions()
            if written == read:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)


def open_hub() -> NativeHub:
    """Return the hub of a new pool."""
    return NativeHub()


def open_link(hub: NativeHub) -> NativeLink:
    """Return the link to a new worker."""
    return NativeLink(hub)
