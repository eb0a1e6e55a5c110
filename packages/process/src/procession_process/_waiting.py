"""Wait for descriptors with the one call that has no limit on their number or value."""

from __future__ import annotations

import sys

from procession_core import deadline_after, remaining

_LONGEST = 1 << 30  # milliseconds in one call; poll() takes a C int


def wait_readable(fds: tuple[int, ...], timeout: float | None) -> list[int]:
    """Block until one of *fds* is readable or hung up, at most *timeout* seconds; return those that are.

    Signal handlers run meanwhile; what they raise passes through.
    """
    if sys.platform == "win32":
        from ._windows import wait_handles

        return wait_handles(fds, timeout)
    import select  # a fresh child that waits for nothing does without

    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    if timeout is None:
        return [fd for fd, _ in poller.poll()]
    deadline = deadline_after(timeout)
    while True:
        left = remaining(deadline) or 0.0
        ready = poller.poll(min(-(-left * 1000 // 1), _LONGEST))
        if ready or left <= 0:
            return [fd for fd, _ in ready]
