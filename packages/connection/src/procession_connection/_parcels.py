"""Arena objects and big buffers in the messages of a Pipe.

A message that names objects of the arena must hold references on them until the receiver has its own. The bytes
in a pipe cannot, so a record in the arena does, which both ends of the pipe keep: the core's Bag. The sender puts
the references of a message in, and writes a pickle that names the bag and the entry; loading it opens the objects
and takes the entry out.
"""

from __future__ import annotations

from _thread import _local

from procession_core import default_reducer, transfer_scopes
from procession_shm import pack, unpack

from ._kinds import UNIX
from ._transfer import FrameDescriptor
from ._variant import core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Envelope:
    __slots__ = ("_arguments",)

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return open_message, self._arguments


def new_bag() -> Any:
    """Return the record of a new pipe; None on the portable variant."""
    return None if core is None else core.Bag()


class _Outgoing(_local):
    """What the message that this thread packs for a pipe sends beside its bytes."""

    depth = -1
    fds: list[int] | None = None


_outgoing = _Outgoing()


def pack_message(obj: object, bag: Any, kind: int) -> tuple[bytes, list[int] | None]:
    """Return the pickle of *obj* for the pipe that has *bag* and *kind*, and the descriptors to go with it.

    Raises what pickling raises, MemoryError where the big buffers do not fit.
    """
    outgoing = _outgoing
    before = outgoing.depth, outgoing.fds
    outgoing.depth, outgoing.fds = (len(transfer_scopes()) + 1 if kind >= UNIX else -1), None
    try:
        message = pack(obj)
        fds = outgoing.fds
    finally:
        outgoing.depth, outgoing.fds = before
    refs = message.refs
    if not refs:
        return message.data, fds
    return default_reducer.dumps(_Envelope(bag.handle(), *bag.put(list(refs)), message.data), 5), fds


def send_beside(fd: int) -> FrameDescriptor | None:
    """Return a token for *fd*, which goes beside the message that this thread is packing; None if it packs none.

    A message of another container that is packed in the meantime, inside a ``__reduce__``, is another scope.
    """
    outgoing = _outgoing
    if outgoing.depth != len(transfer_scopes()):
        return None
    if outgoing.fds is None:
        outgoing.fds = []
    outgoing.fds.append(fd)
    return FrameDescriptor(len(outgoing.fds) - 1)


def open_message(handle: Any, entry: int, generation: int, data: bytes) -> Any:
    """Return the object of a message, and give the references back that the pipe held on what it names.

    Raises StaleHandleError if the pipe is gone or the message was loaded before, and what unpickling raises.
    """
    bag = open_bag(handle)
    try:
        return unpack(data)
    finally:
        bag.take(entry, generation)


def open_bag(handle: Any) -> Any:
    """Return the record of the pipe with that *handle*. Raises StaleHandleError, ForeignTreeError."""
    return core.open_handle(tuple(handle))
