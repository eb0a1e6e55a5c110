"""One message with descriptors over a local socket of kind SOCK_SEQPACKET, by the socket's descriptor."""

from __future__ import annotations

import os
import sys

if sys.platform != "linux":
    raise ImportError("procession_process._messages needs Linux")

from ._native import core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_FDS = 250
"""Descriptors that a client's message can carry (SCM_MAX_FD of Linux is 253; the zygote adds one)."""

MAX_INLINE = 32768
"""Longest payload of a start that is part of the message."""

_MAX_BYTES = 65536

pair: Callable[[], tuple[int, int]]
"""Return two descriptors that are connected with each other."""

transmit: Callable[[int, bytes, Sequence[int]], None]
"""Send one message with descriptors. Raises OSError."""

receive: Callable[[int], tuple[bytes, list[int] | None]]
"""Receive one message and its descriptors, None if this process has no room for all of them: they are lost. An empty
message is the end. Raises OSError.
"""

if core is not None:
    # A third of what Python does for it is writes to pages that a child shares with the fork server.
    pair, transmit, receive = core.message_pair, core.message_send, core.message_receive
else:
    from _socket import (
        AF_UNIX,
        CMSG_LEN,
        MSG_CMSG_CLOEXEC,
        MSG_CTRUNC,
        MSG_NOSIGNAL,
        SCM_RIGHTS,
        SOCK_SEQPACKET,
        SOL_SOCKET,
        socket,
        socketpair,
    )
    from errno import EBADF
    from struct import pack, unpack

    def _open(fd: int) -> socket:
        if fd < 0:
            raise OSError(EBADF, "the connection is closed")  # as the core, not ValueError
        return socket(AF_UNIX, SOCK_SEQPACKET, 0, fd)

    def pair() -> tuple[int, int]:
        one, other = socketpair(AF_UNIX, SOCK_SEQPACKET)
        return one.detach(), other.detach()

    def transmit(fd: int, message: bytes, fds: Sequence[int]) -> None:
        sock = _open(fd)
        try:
            if fds:
                control = [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(fds)}i", *fds))]
                sock.sendmsg([message], control, MSG_NOSIGNAL)
            else:
                sock.send(message, MSG_NOSIGNAL)
        finally:
            sock.detach()

    def receive(fd: int) -> tuple[bytes, list[int] | None]:
        sock = _open(fd)
        try:
            message, ancillary, flags, _ = sock.recvmsg(
                _MAX_BYTES, CMSG_LEN(4 * (MAX_FDS + 1)), MSG_CMSG_CLOEXEC
            )
        finally:
            sock.detach()
        fds: list[int] = []
        for level, kind, data in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS:
                fds.extend(unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4]))
        if flags & MSG_CTRUNC:
            for number in fds:
                os.close(number)
            return message, None
        return message, fds


def send(fd: int, message: bytes, fds: Sequence[int] = ()) -> None:
    """Send one message of a client. Raises OSError, ValueError for more than ``MAX_FDS`` descriptors."""
    if len(fds) > MAX_FDS:
        raise ValueError(
            f"the start of this child carries {len(fds)} descriptors, the fork server takes {MAX_FDS}; "
            "use start method spawn, or send them later"
        )
    transmit(fd, message, fds)
