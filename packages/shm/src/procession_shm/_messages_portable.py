"""Messages without the C core: plain pickles."""

from __future__ import annotations

from procession_core import default_reducer, transfer_scope

from ._message_transfer import MessageTransfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any


class Message:
    """A pickled object on its way: ``data``, and ``refs``, the arena objects that it names."""

    __slots__ = ("data", "refs")

    def __init__(self, data: bytes, refs: list[Any]) -> None:
        self.data = data
        self.refs = refs

    def __iter__(self) -> Iterator[Any]:
        return iter((self.data, self.refs))


def pack(obj: object) -> Message:
    """Return the message that carries *obj*. Never blocks. Raises what pickling raises."""
    transfer = MessageTransfer()
    with transfer_scope(transfer):
        data = default_reducer.dumps(obj, 5)
    return Message(data, transfer.refs)


def unpack(data: Any, refs: Sequence[Any] | None = None, views: bool = False) -> Any:
    """Return the object of a message. Never blocks. Raises what unpickling raises."""
    return default_reducer.loads(data)
