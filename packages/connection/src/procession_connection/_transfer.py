"""What a frame carries beside its bytes: descriptors and references on arena objects."""

from __future__ import annotations

import os
from _thread import _local

from procession_core import PeerDiedError, default_send_fd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class FrameTransfer:
    """The transfer of a frame that is being made.

    Descriptors go through the registered sharer. There is one object for each message, so the lists are made
    only when there is something to list.
    """

    spawning = False
    wire = False
    holds = False
    """Whether ``hold()`` keeps what it is given."""
    fds: list[int] | None = None

    def hold(self, shared: object) -> None:
        """Hold nothing: this connection has no record in the arena. The sender has to keep *shared*."""

    def send_fd(self, fd: int) -> object:
        """Return a token for *fd*."""
        return default_send_fd(fd)

    def clear(self) -> None:
        """Forget everything, to pickle once more."""
        self.fds = None


class CarryingTransfer(FrameTransfer):
    """The transfer of a frame on a connection that carries descriptors beside the bytes."""

    def send_fd(self, fd: int) -> object:
        """Return a token for *fd*."""
        if self.fds is None:
            self.fds = []
        self.fds.append(fd)
        return FrameDescriptor(len(self.fds) - 1)


class WireTransfer(FrameTransfer):
    """The transfer of a frame that leaves the process tree."""

    wire = True


class CarryingWireTransfer(CarryingTransfer):
    """Both: a Unix socket whose other end runs this library."""

    wire = True


class _Arrived(_local):
    def __init__(self) -> None:
        self.fds: list[int] | None = None


_arrived = _Arrived()


class FrameDescriptor:
    """A descriptor that travels beside the frame that names it."""

    __slots__ = ("_position",)

    def __init__(self, position: int) -> None:
        self._position = position

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameDescriptor, (self._position,)

    def detach(self) -> int:
        """Return the descriptor; the caller owns it. Once only.

        Raises PeerDiedError if none came with the frame.
        """
        fds = _arrived.fds
        if fds is None or self._position >= len(fds) or fds[self._position] < 0:
            raise PeerDiedError(
                "a descriptor was named in a message but did not come with it; read such messages with recv(), "
                "and look whether this process is out of descriptors (ulimit -n)"
            )
        fd = fds[self._position]
        fds[self._position] = -1
        return fd


class arriving:
    """Context manager: what this thread unpickles inside may claim *fds*; the unclaimed are closed at the
    end."""

    __slots__ = ("_before", "_fds")

    def __init__(self, fds: list[int]) -> None:
        self._fds = fds

    def __enter__(self) -> None:
        self._before = _arrived.fds
        _arrived.fds = self._fds

    def __exit__(self, *_: object) -> None:
        _arrived.fds = self._before
        for fd in self._fds:
            if fd >= 0:
                os.close(fd)
