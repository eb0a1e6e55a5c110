"""What a connection's descriptor is, and where its other end lives."""

from __future__ import annotations

PIPE = 0
"""Anything that is no socket: a pipe, a FIFO, a terminal. Read and written as a stream."""
STREAM = 1
"""A socket that carries a stream, and no descriptors (TCP)."""
UNIX = 2
"""A Unix socket that carries a stream; descriptors travel beside the bytes."""
PACKET = 3
"""A Unix socket that keeps the boundaries of packets (SOCK_SEQPACKET): a small message is one read."""

PLAIN = 0
"""Nothing is known about the other end: ordinary pickles."""
TREE = 1
"""A Pipe: the other end is a process of this tree that runs this library."""
WIRE = 2
"""A Listener or a Client: perhaps another machine, perhaps CPython's package. CPython's class names are
written."""
MARKED = 3
"""As WIRE, and both sides have said in the handshake that they run this library."""
