"""One message with descriptors over a local socket."""

from __future__ import annotations

import sys

if sys.platform != "linux":
    raise ImportError("procession_process._messages needs Linux")

from _socket import CMSG_LEN, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET, socket
from struct import pack, unpack

MAX_FDS = 250
"""Descriptors that a client's message can carry (SCM_MAX_FD of Linux is 253; the zygote adds one)."""

MAX_INLINE = 32768
"""Longest payload of a start that is part of the message."""

_MAX_BYTES = 65536


def send(sock: socket, message: bytes, fds: list[int] | tuple[int, ...] = (), most: int = MAX_FDS) -> None:
    """Send one message. Raises OSError, ValueError for more than *most* descriptors."""
    if not fds:
        sock.send(message)
        return
    if len(fds) > most:
        raise ValueError(
            f"the start of this child carries {len(fds)} descriptors, the fork server takes {MAX_FDS}; "
            "use start method spawn, or send them later"
        )
    sock.sendmsg([message], [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(fds)}i", *fds))])


def receive(sock: socket) -> tuple[bytes, list[int]]:
    """Receive one message and its descriptors; an empty message is the end. Raises OSError."""
    message, ancillary, _, _ = sock.recvmsg(_MAX_BYTES, CMSG_LEN(4 * (MAX_FDS + 1)), MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            fds.extend(unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4]))
    return message, fds
