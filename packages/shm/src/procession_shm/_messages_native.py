"""Messages with the C core: ``pack()`` and ``unpack()`` are the core's; here is what it leaves to Python.

``py_pack.c`` pickles with one pickler that is kept ready and made here; it hands over to ``_pack_slowly()`` when
that is in use or outdated.
"""

from __future__ import annotations

import _pickle

from procession_core import default_reducer, reset_after_fork, runtime, scope_stack, transfer_scope

from ._message_transfer import MessageTransfer
from ._native import native as _native
from ._threshold import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pickle import PickleBuffer
    from typing import Any

_core: Any = _native

Message = _core.Message
_put_beside = _core.put_beside


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
        data = _put_beside(data, buffers, transfer.refs)
    return Message(data, transfer.refs)


def _loads_beside(pickle: memoryview, buffers: list[memoryview]) -> Any:
    return _pickle.loads(pickle, buffers=buffers)


_core.pack_bind(_pack_slowly, _pickle.loads, _loads_beside, scope_stack, runtime)
default_reducer.watchers.append(_core.pack_stale)
reset_after_fork(_core.pack_forked)
pack = _core.pack
unpack = _core.unpack
