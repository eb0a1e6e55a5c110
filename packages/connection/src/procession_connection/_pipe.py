"""Pipe: two connected connections."""

from __future__ import annotations

import os
import sys

from ._connection import Connection, make
from ._kinds import PIPE, TREE, UNIX
from ._parcels import new_record


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Return two connections that are connected to each other.

    With *duplex* both can send and receive; else the first only receives and the second only sends.

    Raises OSError when no descriptors are left.
    """
    record = new_record()
    if sys.platform == "win32":
        from ._framing_windows import pipe

        ours, theirs = pipe(duplex)
        return make(ours, PIPE, TREE, writable=duplex), make(theirs, PIPE, TREE, readable=duplex)
    if not duplex:
        reader, writer = os.pipe()
        if sys.platform != "linux":
            record = None  # only Linux can look into a pipe, to tell marks from frames
        return make(reader, PIPE, TREE, writable=False, bag=record, side=0), make(
            writer, PIPE, TREE, readable=False, bag=record, side=1
        )
    import _socket as socket

    # A stream, as CPython's, so that its own package in another process can read what comes through the descriptor.
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    first, second = (end.detach() for end in ends)
    return make(first, UNIX, TREE, bag=record, side=0), make(second, UNIX, TREE, bag=record, side=1)
