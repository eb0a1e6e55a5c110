"""Messages: the pickle of an object, its big buffers in blocks of the arena, and what it names there.

FORMAT of ``Message.data``

- without buffers: the pickle itself, whose first byte is 0x80
- with buffers: byte 0x01; 4 bytes count; for each buffer 8 bytes arena id, 8 offset, 8 generation, 4 kind,
  4 flags (1: read-only at its source), 8 size in bytes; then the pickle. Machine's byte order: it never
  leaves the machine.

``Message.refs`` lists every arena object that the data names, the blocks included. Whoever carries the
message keeps references of its own on them until the receiver has its own.
"""

from __future__ import annotations

from _struct import Struct

from procession_core import default_reducer, default_send_fd, transfer_scope

from ._native import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pickle import PickleBuffer
    from typing import Any, Protocol

    class Shared(Protocol):
        """What the core's objects in the arena have in common."""

        def handle(self) -> tuple[int, int, int, int]: ...


DEFAULT_THRESHOLD = 65536
_loads = default_reducer.loads
_WITH_BUFFERS = 1
_HEAD = Struct("=BI")
_ENTRY = Struct("=QQQIIQ")
_READ_ONLY = 1


class _Settings:
    """The threshold of this process; children that are forked inherit it."""

    threshold = DEFAULT_THRESHOLD


def set_oob_threshold(size: int) -> int:
    """Let buffers of at least *size* bytes travel in shared memory instead of inside the message; return the
    old value. 0 turns it off. The default is 65536.

    It holds for what this process sends. Raises TypeError for what is not an int, ValueError for a negative
    one. Without the C core all buffers travel inside the message.
    """
    if not isinstance(size, int):
        raise TypeError(f"the threshold must be a number of bytes, not {size!r}")
    if size < 0:
        raise ValueError(f"the threshold must be 0 (off) or a number of bytes, not {size}")
    old = _Settings.threshold
    _Settings.threshold = size
    return old


def oob_threshold() -> int:
    """Return the size in bytes from which buffers travel in shared memory; 0: never."""
    return _Settings.threshold


class Message:
    """A pickled object on its way: ``data`` and the arena objects that it names, ``refs``."""

    __slots__ = ("data", "refs")

    def __init__(self, data: bytes, refs: list[Any]) -> None:
        self.data = data
        self.refs = refs

    def __iter__(self) -> Any:
        return iter((self.data, self.refs))


class MessageTransfer:
    """The transfer of a message inside this process tree: it collects what the pickle names."""

    __slots__ = ("refs",)
    spawning = False

    def __init__(self) -> None:
        self.refs: list[Any] = []

    def hold(self, shared: Any) -> None:
        """Put *shared* on the message's list."""
        if shared not in self.refs:
            self.refs.append(shared)

    def send_fd(self, fd: int) -> object:
        """Return a picklable token for *fd*, which travels beside the message."""
        return default_send_fd(fd)


if native is not None:
    _Block = native.Block
    _open_handle = native.open_handle
    _fill = native.block_fill

    def pack(obj: object) -> Message:
        """Return the message that carries *obj*: its pickle, big buffers in blocks of the arena beside it.

        Never blocks. Raises what pickling raises, and MemoryError if the buffers do not fit.
        """
        transfer = MessageTransfer()
        threshold = _Settings.threshold
        if threshold == 0:
            with transfer_scope(transfer):
                data = default_reducer.dumps(obj, 5)
            return Message(data, transfer.refs)
        buffers: list[PickleBuffer] = []
        with transfer_scope(transfer):
            data = default_reducer.dumps_oob(obj, threshold, buffers)
        if buffers:
            data = _put_aside(data, buffers, transfer.refs)
        return Message(data, transfer.refs)

    def _put_aside(data: bytes, buffers: list[PickleBuffer], refs: list[Any]) -> bytes:
        parts = [_HEAD.pack(_WITH_BUFFERS, len(buffers))]
        for buffer in buffers:
            raw = buffer.raw()
            block = _Block(raw.nbytes)
            _fill(block, raw)
            parts.append(_ENTRY.pack(*block.handle(), _READ_ONLY if raw.readonly else 0, raw.nbytes))
            refs.append(block)
        parts.append(data)
        return b"".join(parts)

    def unpack(data: Any, refs: Sequence[Any] | None = None) -> Any:
        """Return the object of a message. *refs*, where the container has them open, are not needed.

        Buffers come as views of their blocks, writable where the source was, which keep them alive.

        Never blocks. Raises what unpickling raises, StaleHandleError if nothing has kept what the message
        names, ForeignTreeError if it comes from another process tree.
        """
        if data[0] != _WITH_BUFFERS:
            return _loads(data)
        count = _HEAD.unpack_from(data)[1]
        position = _HEAD.size
        buffers = []
        for _ in range(count):
            arena, offset, generation, kind, flags, _size = _ENTRY.unpack_from(data, position)
            position += _ENTRY.size
            view = memoryview(_open_handle((arena, offset, generation, kind)))
            buffers.append(view.toreadonly() if flags & _READ_ONLY else view)
        return _loads(memoryview(data)[position:], buffers=buffers)

else:

    def pack(obj: object) -> Message:
        """Return the message that carries *obj*: its pickle. Raises what pickling raises."""
        transfer = MessageTransfer()
        with transfer_scope(transfer):
            data = default_reducer.dumps(obj, 5)
        return Message(data, transfer.refs)

    def unpack(data: Any, refs: Sequence[Any] | None = None) -> Any:
        """Return the object of a message. Raises what unpickling raises."""
        return _loads(data)


__all__ = ("Message", "MessageTransfer", "oob_threshold", "pack", "set_oob_threshold", "unpack")
