"""Messages with the C core: ``pack()`` and ``unpack()`` are the core's; here is what it leaves to Python.

``py_pack.c`` pickles with one pickler that is kept ready and made here; it hands over to ``_pack_slowly()`` when
that is in use or outdated, to ``_put_aside()`` when there are big buffers, and to ``_unpack_slowly()`` where a
message brings some.
"""

from __future__ import annotations

import _pickle
from _struct import Struct

from procession_core import default_reducer, reset_after_fork, runtime, scope_stack, transfer_scope

from ._message_transfer import MessageTransfer
from ._native import native as _native
from ._threshold import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pickle import PickleBuffer
    from typing import Any

_core: Any = _native
_WITH_BUFFERS = 1
_READ_ONLY = 1
_HEAD = Struct("=BI")
_ENTRY = Struct("=QQQIIQ")

Message = _core.Message
_Block = _core.Block
_fill = _core.block_fill
_open_handle = _core.open_handle
_loads = default_reducer.loads


class _Output:
    """The file of a pickler."""

    __slots__ = ("write",)

    def __init__(self, pieces: list[bytes]) -> None:
        self.write = pieces.append


def _make_ready() -> None:
    pieces: list[bytes] = []
    buffers: list[PickleBuffer] = []
    transfer = MessageTransfer()
    append = buffers.append

    def keep_in_band(buffer: PickleBuffer) -> bool:
        threshold = Settings.threshold
        try:
            if threshold == 0 or buffer.raw().nbytes < threshold:
                return True
        except BufferError:  # not contiguous: the pickler says so
            return True
        append(buffer)
        return False

    output: Any = _Output(pieces)
    pickler = _pickle.Pickler(output, 5, buffer_callback=keep_in_band)
    pickler.dispatch_table = default_reducer.table()
    watched: Any = default_reducer.watched()
    _core.pack_ready(pickler, pieces, buffers, transfer, transfer.refs, *watched)


def _pack_slowly(obj: object, busy: bool) -> Any:
    if not busy:
        _make_ready()
    transfer = MessageTransfer()
    threshold = Settings.threshold
    buffers: list[PickleBuffer] = []
    with transfer_scope(transfer):
        if threshold:
            data = default_reducer.dumps_oob(obj, threshold, buffers)
        else:
            data = default_reducer.dumps(obj, 5)
    if buffers:
        data = _put_aside(data, buffers, transfer.refs)
    return Message(data, transfer.refs)


def _put_aside(data: bytes, buffers: list[PickleBuffer], refs: list[Any]) -> bytes:
    """Copy the buffers into blocks, add those to *refs*, and return the message's data."""
    parts = [_HEAD.pack(_WITH_BUFFERS, len(buffers))]
    for buffer in buffers:
        raw = buffer.raw()
        block = _Block(raw.nbytes)
        _fill(block, raw)
        parts.append(_ENTRY.pack(*block.handle(), _READ_ONLY if raw.readonly else 0, raw.nbytes))
        refs.append(block)
    parts.append(data)
    return b"".join(parts)


def _unpack_slowly(data: Any) -> Any:
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


_core.pack_bind(_pack_slowly, _unpack_slowly, _pickle.loads, _put_aside, scope_stack, runtime)
default_reducer.watchers.append(_core.pack_stale)
reset_after_fork(_core.pack_forked)
pack = _core.pack
unpack = _core.unpack
