"""Pipe: two connected connections."""

from __future__ import annotations

import os

from ._connection import Connection, make
from ._kinds import PACKET, PIPE, TREE, UNIX
from ._parcels import new_bag
from ._variant import core


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:
    """Return two connections that are connected to each other.

    With *duplex* both can send and receive; else the first only receives and the second only sends.

    Raises OSError when no descriptors are left.
    """
    bag = new_bag()
    if not duplex:
        reader, writer = os.pipe()
        return make(reader, PIPE, TREE, writable=False, bag=bag), make(
            writer, PIPE, TREE, readable=False, bag=bag
        )
    import _socket as socket

    # Packets let the C core take a small message, header and all, with one read that cannot touch the next.
    kind = PACKET if core is not None else UNIX
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET if kind == PACKET else socket.SOCK_STREAM)
    first, second = (end.detach() for end in ends)
    return make(first, kind, TREE, bag=bag), make(second, kind, TREE, bag=bag)
