"""Big buffers behind a message between Listener and Client, where both sides run this library.

FORMAT. The first frame holds MAGIC; 4 bytes count; for each buffer 8 bytes size and 1 byte (1: read-only at its
source); then the pickle (protocol 5). Each buffer follows as the payload of a frame of its own, so that it is
received where it stays. Numbers are big-endian.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pickle import PickleBuffer
    from typing import Any

MAGIC = b"\x02procession/oob-1"
"""No pickle begins with the byte 2."""
_COUNT = Struct("!I")
_ENTRY = Struct("!QB")
_FRAME = 0x95
_NEXT_BUFFER = 0x97
_READONLY_BUFFER = 0x98
_BYTES = b"\x8e"
_BYTEARRAY = b"\x96"
_SIZE = Struct("<Q")


def head(data: bytes, buffers: Sequence[PickleBuffer]) -> tuple[bytes, list[memoryview]]:
    """Return the first frame's payload and those of the frames that follow it."""
    views = [buffer.raw() for buffer in buffers]
    table = b"".join(_ENTRY.pack(view.nbytes, view.readonly) for view in views)
    return b"".join((MAGIC, _COUNT.pack(len(views)), table, data)), views


def parse(message: bytes) -> tuple[bytes, list[tuple[int, bool]]]:
    """Return the pickle of a first frame and the size of each buffer and whether it is read-only.

    Raises OSError for a table that is cut short.
    """
    try:
        position = len(MAGIC)
        count = _COUNT.unpack_from(message, position)[0]
        position += _COUNT.size
        if count * _ENTRY.size > len(message):
            raise ValueError
        entries = [_ENTRY.unpack_from(message, position + i * _ENTRY.size) for i in range(count)]
    except Exception:
        raise OSError("bad message: its table of buffers is cut short") from None
    return message[position + count * _ENTRY.size :], [(size, bool(flag)) for size, flag in entries]


def in_band(data: bytes, buffers: Sequence[Any]) -> bytes:
    """Return the one pickle that *data* and its *buffers* make, for those who receive bytes. Nothing is loaded."""
    import pickletools

    pieces: list[Any] = []
    rest = iter(buffers)
    start = 0
    waiting: Any = None
    # Frames tell sizes that are no longer true, and may be left out.
    cut = (_FRAME, _NEXT_BUFFER, _READONLY_BUFFER)
    for opcode, _, position in pickletools.genops(data):
        code = ord(opcode.code)
        if waiting is not None:
            kind = _BYTES if code == _READONLY_BUFFER else _BYTEARRAY
            pieces += (kind, _SIZE.pack(len(waiting)), waiting)
            waiting = None
        if code in cut and position is not None:
            pieces.append(data[start:position])
            start = position + (9 if code == _FRAME else 1)
            if code == _NEXT_BUFFER:
                waiting = next(rest)
    pieces.append(data[start:])
    return b"".join(pieces)
