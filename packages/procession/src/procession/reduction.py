"""How objects are pickled for other processes (``multiprocessing.reduction``)."""

from __future__ import annotations

from procession_connection import (
    HAVE_SEND_HANDLE,
    DupFd,
    rebuild_connection,
    rebuild_socket,
    recv_handle,
    recvfds,
    reduce_connection,
    reduce_socket,
    send_handle,
    sendfds,
)
from procession_core import ForkingPickler, dump, register

_reduce_socket = reduce_socket
_rebuild_socket = rebuild_socket

__all__ = (
    "HAVE_SEND_HANDLE",
    "DupFd",
    "ForkingPickler",
    "dump",
    "rebuild_connection",
    "recv_handle",
    "recvfds",
    "reduce_connection",
    "register",
    "send_handle",
    "sendfds",
)
