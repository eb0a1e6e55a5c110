"""The fork server's interpreter, begun before anybody can say what it is to load.

It takes some ten milliseconds until it listens. Meanwhile this process loads the rest of what a start needs.
"""

from __future__ import annotations

import sys

if sys.platform != "linux":
    raise ImportError("procession_process._launch._boot needs Linux")

from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from _thread import allocate_lock

from procession_core import reset_after_fork

from .. import _door
from .._main import check_not_importing
from .._native import cancel, reserve, started
from ._interpreter import spawn_interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._native import Slot


class Boot:
    """An interpreter that waits for its payload on the other end of *sock*; *door* is its door's write end."""

    __slots__ = ("door", "pid", "slot", "sock")

    def __init__(self, sock: socket, door: socket, pid: int, slot: Slot | None) -> None:
        self.sock = sock
        self.door = door
        self.pid = pid
        self.slot = slot


asking = allocate_lock()
"""Held for a whole request to the fork server, and while it is begun."""

_begun: Boot | None = None


def begin() -> None:
    """Start the fork server's interpreter, unless this process can reach one.

    Raises RuntimeError while this process is importing its parent's ``__main__``, OSError, ValueError where the
    interpreter is not known.
    """
    global _begun
    with asking:
        if _begun is None and _door.door < 0:
            check_not_importing()
            _begun = _start()


def take() -> Boot:
    """Return the interpreter that ``begin()`` started, or a new one. To be called with ``asking`` held. Raises
    OSError.
    """
    global _begun
    begun, _begun = _begun, None
    return begun or _start()


def _start() -> Boot:
    sock, its_sock = socketpair(AF_UNIX, SOCK_SEQPACKET)
    its_door, door = socketpair(AF_UNIX, SOCK_SEQPACKET)
    slot = reserve("forkserver")
    try:
        pid = spawn_interpreter("_zygote", [its_sock.fileno(), its_door.fileno(), door.fileno()])
    except BaseException:
        cancel(slot)
        sock.close()
        door.close()
        raise
    finally:
        its_sock.close()
        its_door.close()
    started(slot, pid)
    return Boot(sock, door, pid, slot)


def _reset() -> None:
    # A forked child has no business on its parent's connection; it may come by the door.
    global asking, _begun
    asking = allocate_lock()
    if _begun is not None:
        _begun.sock.close()
        _begun.door.close()
        _begun = None


reset_after_fork(_reset)
