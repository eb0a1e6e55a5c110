"""The fast way between processes of one tree: requests and answers go through queues in the arena.

A client asks for it once a connection has carried a few calls. The server has one queue for all requests, each
channel one for its answers. The socket stays: for the handshake, and to tell either side that the other is gone.
"""

from __future__ import annotations

from procession_shm import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEY_BYTES = 8
"""What stands behind each request: which channel it is from. Unpickling stops before it."""
CALLS_BEFORE = 4
"""Calls of a channel that go through its socket, so that short-lived ones do not pay for a lane."""
LOOK_SECONDS = 0.2
"""How long a client waits before it looks whether the server is alive."""

_WORD = 1 << 63
_PLAIN = frozenset((type(None), bool, float))


def is_plain(value: object) -> bool:
    """Say whether *value* can be put into a queue as it is, and nobody has to pickle or unpickle it.

    So an answer that is no bytes object is the result itself.
    """
    kind = type(value)
    if kind is int:
        return -_WORD <= value < _WORD  # type: ignore[operator]
    return kind in _PLAIN or (kind is str and value.isascii())  # type: ignore[attr-defined]


def make_queue() -> Any:
    """Return a new queue in the arena, or None where there is none."""
    return None if native is None else native.Queue(0, 0)


def prepare() -> None:
    """Make the arena before a server is started, so that it is shared with it."""
    if native is not None:
        native.ensure()


def open_queue(handle: tuple[Any, ...]) -> Any:
    """Return the queue that *handle* names, or None if it is not in this process's arena."""
    if native is None:
        return None
    try:
        return native.open_handle(handle)
    except (RuntimeError, ValueError):
        return None
