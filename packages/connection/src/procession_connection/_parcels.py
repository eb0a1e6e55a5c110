"""Arena objects and big buffers in the messages of a Pipe.

Most messages go through the pipe's ring in the arena, which holds the references itself. A message that names objects
of the arena and goes through the descriptor must hold references on them until the receiver has its own. The bytes
in a pipe cannot, so a record in the arena does, which both ends of the pipe keep: the core's Bag. The sender puts
the references of a message in, and writes a pickle that names the bag and the entry; loading it opens the objects
and takes the entry out.
"""

from __future__ import annotations

from _struct import Struct
from _thread import _local

from procession_core import default_reducer, transfer_scopes
from procession_shm import pack, unpack

from ._kinds import UNIX
from ._transfer import FrameDescriptor
from ._variant import core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ._connection import Connection

    def _loads(data: bytes) -> Any: ...
else:
    try:
        from _pickle import loads as _loads
    except ImportError:
        from pickle import loads as _loads

ENVELOPE = b"\x80\x04cp"
"""How a message begins that names objects of the arena. No ordinary pickle of protocol 4 begins with a GLOBAL."""


# An envelope is the pickle of a call, open_message(handle, entry, generation, data), written here by its opcodes: a
# pickler, for so little, costs more than all the rest. Both ends of a pipe know how its envelopes begin.
_CALL = b"\x80\x04c" + __name__.encode() + b"\nopen_message\n("  # PROTO 4, GLOBAL, MARK
_WORDS = Struct("<2sq2sqcQ")  # LONG1 entry, LONG1 generation, BINBYTES8 of the data that follows
_END = b"tR."  # TUPLE, REDUCE, STOP
_SMALL = 65536


def _opening(bag: Any) -> bytes:
    return _CALL + default_reducer.dumps(bag.handle(), 2)[2:-1]


def new_record() -> Any:
    """Return what the ends of a new pipe share; None on the portable variant."""
    return None if core is None else core.Pipe()


class _Outgoing(_local):
    """The messages that this thread is packing for pipes, the innermost last.

    Each is a list: the depth of its scope, and the descriptors that go beside it, or None.
    """

    def __init__(self) -> None:
        self.stack: list[list[Any]] = []


_outgoing = _Outgoing()


def pack_message(obj: object, connection: Connection, kind: int) -> tuple[bytes, list[int] | None]:
    """Return the pickle of *obj* for *connection*, an end of a pipe of this *kind*, and the descriptors to go with it.

    Raises what pickling raises, MemoryError where the big buffers do not fit.
    """
    stack = _outgoing.stack
    entry: list[Any] = [len(transfer_scopes()) + 1 if kind >= UNIX else -1, None]
    stack.append(entry)
    try:
        message = pack(obj)
    finally:
        stack.pop()
    return enclose(message.data, message.refs, connection), entry[1]


def enclose(data: bytes, refs: Sequence[Any], connection: Connection) -> bytes:
    """Return a pickle that gives what *data*, which names the arena objects *refs*, is the message of.

    The pipe of *connection* keeps them until it is loaded.
    """
    if not refs:
        return data
    bag = connection._bag
    opening = connection._opening
    if opening is None:
        opening = connection._opening = _opening(bag)
    place, generation = bag.put(list(refs))
    words = _WORDS.pack(b"\x8a\x08", place, b"\x8a\x08", generation, b"\x8e", len(data))
    return b"".join((opening, words, data, _END))


def _pack(obj: object) -> Any:
    # For the ring of a one-way pipe: bytes, or bytes and the arena objects that they name.
    message = pack(obj)
    refs = message.refs
    return (message.data, refs) if refs else message.data


def _pack_beside(obj: object) -> Any:
    # For one whose descriptor carries others: the third is the list of those, which cannot go through the ring.
    stack = _outgoing.stack
    entry: list[Any] = [len(transfer_scopes()) + 1, None]
    stack.append(entry)
    try:
        message = pack(obj)
    finally:
        stack.pop()
    refs = message.refs
    if entry[1] is not None:
        return message.data, refs, entry[1]
    return (message.data, refs) if refs else message.data


if core is not None:
    core.bind_pipe(_pack, _pack_beside, unpack, _loads)


def send_beside(fd: int) -> FrameDescriptor | None:
    """Return a token for *fd*, which goes beside the message that this thread is packing; None if it packs none.

    A message of another container that is packed in the meantime, inside a ``__reduce__``, is another scope.
    """
    stack = _outgoing.stack
    if not stack or stack[-1][0] != len(transfer_scopes()):
        return None
    entry = stack[-1]
    if entry[1] is None:
        entry[1] = []
    entry[1].append(fd)
    return FrameDescriptor(len(entry[1]) - 1)


def open_message(handle: Any, entry: int, generation: int, data: bytes) -> Any:
    """Return the object of a message, and give the references back that the pipe held on what it names.

    Raises StaleHandleError if the pipe is gone or the message was loaded before, and what unpickling raises.
    """
    bag = open_bag(handle)
    try:
        return unpack(data)
    finally:
        bag.take(entry, generation)


def unpack_message(data: bytes, connection: Connection) -> Any:
    """Return the object of a message that begins with ``_CALL`` and was received on *connection*, an end of a pipe.

    Raises as ``open_message()``.
    """
    bag = connection._bag
    opening = connection._opening
    if opening is None:
        opening = connection._opening = _opening(bag)
    start = len(opening) + _WORDS.size
    if not data.startswith(opening) or len(data) < start:
        return _loads(data)  # forwarded from another pipe
    _, entry, _, generation, _, size = _WORDS.unpack_from(data, len(opening))
    if data[start + size :] != _END:
        return _loads(data)
    try:
        return unpack(data[start:-3] if size < _SMALL else memoryview(data)[start:-3])
    finally:
        bag.take(entry, generation)


def open_bag(handle: Any) -> Any:
    """Return the record of the pipe with that *handle*. Raises StaleHandleError, ForeignTreeError."""
    return core.open_handle(tuple(handle))
