"""What many children run: a module of its own, because each child of spawn imports it, and pytest is slow to import."""

from __future__ import annotations

import os

from procession_core import current_transfer


def wait_for_end(reads, writes):
    os.close(writes)
    os.read(reads, 1)  # ends when nobody has the other end any more


def wait_by_connection(fd):
    os.read(fd.detach(), 1)


class Sent:
    """A descriptor among the arguments of a child."""

    def __init__(self, fd):
        self.fd = fd

    def detach(self):
        return self.fd

    def __reduce__(self):
        return _received, (current_transfer().send_fd(self.fd),)


def _received(token):
    return Sent(token.detach())


def nothing():
    pass
