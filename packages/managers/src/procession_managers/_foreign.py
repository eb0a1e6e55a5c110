"""The client processes that run CPython's package: who they are, and when they end.

Their connections do not say that. A call to the server itself has one of its own, which ends with the answer, and a
thread's connection ends with the thread. But a local socket knows the process at its other end, and the kernel tells
when that ends; over TCP nobody does.
"""

from __future__ import annotations

import os
import sys

from ._objects import Lease
from ._poller import IN

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket
    from typing import Any

_CREDENTIALS = 12
"""Bytes of struct ucred: three ints, the pid first."""


class Foreigners:
    """The leases of such processes; those that end are told by descriptors in *poller*."""

    def __init__(self, poller: Any) -> None:
        self._poller = poller
        self._leases: dict[int, Lease] = {}
        self._watched: dict[int, Lease] = {}

    def lease(self, sock: _socket.socket) -> Lease | None:
        """Return the lease of the process at the other end, or None where that cannot be known."""
        import socket

        if sock.family != getattr(socket, "AF_UNIX", None) or not hasattr(socket, "SO_PEERCRED"):
            return None
        try:
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS)
        except OSError:
            return None
        pid = int.from_bytes(credentials[:4], sys.byteorder)
        lease = self._leases.get(pid)
        if lease is not None:
            return lease
        if sys.platform != "linux":
            return None
        try:
            watch = os.pidfd_open(pid)
        except OSError:  # another pid namespace, or it has ended already
            return None
        lease = Lease(pid, "a client of CPython")
        lease.watch = watch
        self._leases[pid] = self._watched[watch] = lease
        self._poller.register(watch, IN)
        return lease

    def ended(self, fd: int) -> Lease | None:
        """Return the lease of the process whose end *fd* tells, None if it tells no such thing."""
        lease = self._watched.get(fd)
        if lease is not None:
            self.forget(lease)
        return lease

    def holder(self, ident: str) -> Lease | None:
        """Return some lease with a reference on *ident*."""
        for lease in self._leases.values():
            if lease.refs.get(ident):
                return lease
        return None

    def forget(self, lease: Lease) -> None:
        """Watch the process no more."""
        if self._watched.pop(lease.watch, None) is None:
            return
        del self._leases[lease.pid]
        self._poller.unregister(lease.watch)
        os.close(lease.watch)

    def close(self) -> None:
        """Close the descriptors, without a word to the poller: it is closed, or the parent's."""
        for fd in self._watched:
            os.close(fd)
        self._watched.clear()
        self._leases.clear()
