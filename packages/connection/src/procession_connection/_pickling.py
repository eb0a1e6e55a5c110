"""How connections, listeners and sockets are pickled: a token for the descriptor, and what goes with it."""

from __future__ import annotations

import sys
from os import close

from procession_core import current_transfer, default_reducer, runtime

from ._connection import Connection, make
from ._kinds import MARKED, PLAIN, TREE, WIRE
from ._listener import Listener
from ._names import wire_reducer
from ._parcels import open_bag
from ._sharer import token_for

if sys.platform == "win32":
    from ._connection_windows import PipeConnection, over_pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _leaves_the_tree() -> bool:
    transfer = current_transfer()
    return bool(getattr(transfer, "wire", False))


def reduce_connection(connection: Connection) -> tuple[Any, ...]:
    """Reduce a connection. Raises OSError if it is closed, TypeError for a restricted one that leaves the
    tree."""
    readable, writable = connection.readable, connection.writable
    transfer = current_transfer()
    if _leaves_the_tree():
        if connection._unpickler is not None:
            raise TypeError("a connection with a restricted unpickler cannot leave the process tree")
        fd = connection._use_descriptor()
        if connection._frames is not None and connection._frames.has():
            raise OSError(
                "the first bytes of the next message have been received here already, and a process of another tree "
                "would not find them: receive that message before you send the connection there"
            )
        return rebuild_connection, (token_for(fd), readable, writable)
    bag = None
    side = -1
    if connection._bag is None or transfer is None or not getattr(transfer, "holds", True):
        fd = connection._use_descriptor()  # whoever gets it knows nothing of the ring
    else:
        if connection._handle is None:
            connection._refuse()
        fd = connection._handle
        transfer.hold(connection._bag)
        bag = connection._bag.handle()
        side = connection._side
    link, unpickler = connection._link, connection._unpickler
    ahead = None
    if connection._frames is not None:
        shared = connection._frames.share()
        if shared is not None:
            ahead = token_for(shared)
    return rebuild_own, (
        token_for(fd),
        readable,
        writable,
        connection._kind,
        link,
        unpickler,
        bag,
        side,
        ahead,
    )


def rebuild_connection(token: Any, readable: bool = True, writable: bool = True) -> Connection:
    """Make a connection of a received token."""
    return Connection(token.detach(), readable, writable)


def rebuild_own(
    token: Any,
    readable: bool,
    writable: bool,
    kind: int,
    link: int,
    unpickler: Any,
    bag: Any,
    side: int = -1,
    ahead: Any = None,
) -> Connection:
    """Make a connection of a token that came from this process tree."""
    if link not in (PLAIN, TREE, WIRE, MARKED):
        raise ValueError(f"unknown link {link!r} in a pickled connection")
    record = None if bag is None else open_bag(bag)
    if ahead is None:
        return make(token.detach(), kind, link, readable, writable, unpickler, record, side)
    fd = ahead.detach()
    try:
        return make(token.detach(), kind, link, readable, writable, unpickler, record, side, ahead=fd)
    finally:
        close(fd)


def reduce_listener(listener: Listener) -> tuple[Any, ...]:
    """Reduce a listener. Raises OSError if it is closed, TypeError where its key would leave the tree."""
    if listener._pipes is not None:
        raise TypeError(
            "a Listener on a named pipe cannot be pickled: its clients wait for this process; accept here and send the "
            "connections, or listen at another address there"
        )
    key = listener._key
    own_key = key is not None and key == bytes(runtime.authkey)
    if key is not None and not own_key and (current_transfer() is None or _leaves_the_tree()):
        raise TypeError("a Listener with a key of its own can only be sent within its process tree")
    tokens = [token_for(fd) for fd in reversed(listener._listening())]
    arguments = (
        tokens,
        listener.address,
        listener._family,
        own_key,
        None if own_key else key,
        listener._ssl,
        listener._unpickler,
        listener._timeout,
    )
    return rebuild_listener, arguments


def rebuild_listener(
    tokens: list[Any],
    address: Any,
    family: str,
    own_key: bool,
    key: bytes | None,
    ssl: Any,
    unpickler: Any,
    timeout: Any,
) -> Listener:
    """Make a listener of received tokens. The paths of its sockets stay with the process that made it."""
    fds = [token.detach() for token in tokens]
    known = bytes(runtime.authkey) if own_key else key
    return Listener._adopt(fds, address, family, known, ssl, unpickler, timeout)


def reduce_socket(sock: Any) -> tuple[Any, ...]:
    """Reduce a ``socket.socket``. Raises OSError if it is closed."""
    return rebuild_socket, (token_for(sock.fileno()), int(sock.family), int(sock.type), sock.proto)


def rebuild_socket(token: Any, family: int, type: int, proto: int) -> Any:
    """Make a socket of a received token."""
    import socket

    return socket.socket(family, type, proto, fileno=token.detach())


default_reducer.register(Connection, reduce_connection)
default_reducer.register(Listener, reduce_listener)
default_reducer.register_lazily("socket", "socket", reduce_socket)
wire_reducer.map(Connection, "multiprocessing.connection", "Connection")
wire_reducer.map(rebuild_connection, "multiprocessing.connection", "rebuild_connection")
wire_reducer.map(rebuild_socket, "multiprocessing.reduction", "_rebuild_socket")

if sys.platform == "win32":

    def reduce_pipe_connection(connection: PipeConnection) -> tuple[Any, ...]:
        """Reduce a connection over a named pipe. Raises as ``reduce_connection()``."""
        handle = connection.fileno()
        ends = (connection.readable, connection.writable)
        link, unpickler = connection._link, connection._unpickler
        if _leaves_the_tree():
            if unpickler is not None:
                raise TypeError("a connection with a restricted unpickler cannot leave the process tree")
            link = PLAIN
        return rebuild_pipe_connection, (token_for(handle), *ends, link, unpickler, connection._pipe.empty)

    def rebuild_pipe_connection(
        token: Any,
        readable: bool = True,
        writable: bool = True,
        link: int = PLAIN,
        unpickler: Any = None,
        empty: int = 0,
    ) -> PipeConnection:
        """Make a connection over a named pipe of a received token."""
        if link not in (PLAIN, TREE, WIRE, MARKED):
            raise ValueError(f"unknown link {link!r} in a pickled connection")
        return over_pipe(token.detach(), link, readable, writable, unpickler, empty)

    default_reducer.register(PipeConnection, reduce_pipe_connection)
    wire_reducer.map(PipeConnection, "multiprocessing.connection", "PipeConnection")
