"""Connections that carry values as XML-RPC instead of pickles."""

from __future__ import annotations

from ._client import Client
from ._connection import Connection
from ._listener import Listener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self


class XmlConnection:
    """A connection whose ``send()`` and ``recv()`` use XML-RPC: numbers, strings, bytes, lists, dicts, None.

    Nothing received is ever unpickled. Everything else is as in Connection.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED_ON:
            return getattr(self._connection, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def send(self, obj: object) -> None:
        """Send *obj*. Blocks while the buffers are full. Raises TypeError for what XML-RPC has no form for."""
        import xmlrpc.client

        values: Any = (obj,)
        text = xmlrpc.client.dumps(values, allow_none=True)
        self._connection.send_bytes(text.encode("utf-8"))

    def recv(self) -> Any:
        """Return the next value. Blocks. Raises EOFError, OSError, and what parsing raises."""
        import xmlrpc.client

        (value,), _ = xmlrpc.client.loads(
            self._connection.recv_bytes().decode("utf-8"), use_builtin_types=True
        )
        return value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()


_PASSED_ON = frozenset(
    (
        "close",
        "closed",
        "fileno",
        "poll",
        "readable",
        "recv_bytes",
        "recv_bytes_into",
        "send_bytes",
        "writable",
    )
)


class XmlListener(Listener):
    """A Listener whose connections carry XML-RPC."""

    def accept(self) -> XmlConnection:  # type: ignore[override]
        """Wait for a client as ``Listener.accept()`` does and return its XmlConnection."""
        return XmlConnection(super().accept())


def XmlClient(*args: Any, **kwargs: Any) -> XmlConnection:
    """Connect as ``Client()`` does, with the same arguments, and return an XmlConnection."""
    return XmlConnection(Client(*args, **kwargs))
