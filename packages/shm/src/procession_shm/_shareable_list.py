"""``ShareableList``: a list of fixed length in shared memory, as ``multiprocessing.shared_memory`` documents
it.

FORMAT of the memory: the standard library's, so that its lists and ours are the same. Integers have 64 bits.

=========  ================================================================================================
bytes      what
=========  ================================================================================================
8          number of items, n
8(n + 1)   where each item starts, from the start of the data; the last is the size of the data
...        the data: 8 bytes for int, float, bool and None; for str and bytes what they need and at least one
           byte more, in multiples of 8
8n         for each item its ``struct`` format, filled up with NULs
n          for each item what it becomes: 0 what ``struct`` gives, 1 str, 2 bytes, 3 None
=========  ================================================================================================

The memory is anybody's who knows the name, so a list whose numbers make no sense is a ValueError, never a
crash.
"""

from __future__ import annotations

from _struct import Struct
from _struct import error as struct_error  # type: ignore[attr-defined]

from ._native import native
from ._shared_memory import SharedMemory

TYPE_CHECKING = False
if TYPE_CHECKING or native is None:
    from ._cells_portable import CellList as _CellList
else:
    _CellList = native.CellList
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_ALIGNMENT = 8
_KEEP, _STR, _BYTES, _NONE = range(4)
_Q = Struct("<q")
_D = Struct("<d")
_CELL = bytes(_ALIGNMENT)


class UnsupportedItemError(KeyError, TypeError):
    """An item is of a type that a ShareableList cannot hold."""

    def __str__(self) -> str:
        return str(self.args[0])


def _encode(value: Any, room: int | None) -> tuple[str, int, bytes]:
    """The format, the code and the bytes of *value*; *room* is that of the item, None in a new list."""
    kind = type(value)
    if kind is int:
        if not -(1 << 63) <= value < 1 << 63:
            raise struct_error(f"'q' format requires {-(1 << 63)} <= number <= {(1 << 63) - 1}, not {value}")
        return "q", _KEEP, _Q.pack(value)
    if kind is float:
        return "d", _KEEP, _D.pack(value)
    if kind is bool:
        return "xxxxxxx?", _KEEP, b"\0\0\0\0\0\0\0\1" if value else _CELL
    if value is None:
        return "xxxxxx?x", _NONE, _CELL
    if kind is str or kind is bytes:
        data = value.encode() if kind is str else value
        if room is None:
            # By characters, as the standard library has it, but never less than the bytes need.
            room = _ALIGNMENT * (len(value) // _ALIGNMENT + 1)
            room = max(room, -(-len(data) // _ALIGNMENT) * _ALIGNMENT)
        elif len(data) > room:
            raise ValueError(
                f"bytes/str item exceeds available storage: {len(data)} bytes do not fit into {room}"
            )
        return f"{room}s", _STR if kind is str else _BYTES, data.ljust(room, b"\0")
    raise UnsupportedItemError(
        f"{kind!r} cannot be in a ShareableList; allowed are exactly int, float, bool, str, bytes and None"
    )


class ShareableList(_CellList):
    """A list in a block of shared memory that any process can open by the block's name.

    Its length is fixed; an item may be replaced by one of another type that needs no more room.

    :param sequence: the items of a new list: int (64 bits), float, bool, str, bytes, None. Trailing NULs of
        str and bytes are lost
    :param name: of the block to create, or with no *sequence* to attach to

    Never blocks; access is not synchronized.

    Raises KeyError for items of other types, struct.error for an int beyond 64 bits, and what SharedMemory
    raises.
    """

    def __init__(self, sequence: Iterable[Any] | None = None, *, name: str | None = None) -> None:
        self.shm: SharedMemory
        if sequence is None and name is not None:
            self.shm = SharedMemory(name)
        else:
            self.shm = self._create(() if sequence is None else sequence, name)
        self._bind(self.shm._mmap)

    @staticmethod
    def _create(sequence: Iterable[Any], name: str | None) -> SharedMemory:
        cells = [_encode(value, None) for value in sequence]
        offsets = [0]
        for _, _, data in cells:
            offsets.append(offsets[-1] + len(data))
        image = b"".join((
            _Q.pack(len(cells)),
            *map(_Q.pack, offsets),
            *(data for _, _, data in cells),
            *(form.encode().ljust(8, b"\0") for form, _, _ in cells),
            bytes(code for _, code, _ in cells),
        ))  # fmt: skip
        shm = SharedMemory(name, create=True, size=len(image))
        shm.buf[: len(image)] = image
        return shm

    def _layout(self) -> tuple[memoryview, int, int, int]:
        buffer = self.shm.buf
        if buffer is None:
            raise TypeError(
                "a bytes-like object is required, not 'NoneType': the list's shared memory is closed"
            )
        count = len(self)
        data = 8 + 8 * (count + 1)
        formats: int = data + _Q.unpack_from(buffer, data - 8)[0]
        return buffer, count, data, formats

    def _assign(self, index: int, value: Any) -> None:
        buffer, count, data, formats = self._layout()
        if index < 0:
            index += count
        start = _Q.unpack_from(buffer, 8 + 8 * index)[0]
        end = _Q.unpack_from(buffer, 16 + 8 * index)[0]
        form, code, image = _encode(value, end - start)
        buffer[data + start : data + start + len(image)] = image
        at = formats + 8 * index
        buffer[at : at + 8] = form.encode().ljust(8, b"\0")
        buffer[formats + 8 * count + index] = code

    def _get_packing_format(self, position: int) -> str:
        buffer, count, _, formats = self._layout()
        if position < 0:
            position += count
        if not 0 <= position < count:
            raise IndexError(
                f"Requested position out of range. There are {count} items; use a position below that"
            )
        at = formats + 8 * position
        return bytes(buffer[at : at + 8]).rstrip(b"\0").decode()

    @property
    def format(self) -> str:
        """The ``struct`` formats of all items, one after the other."""
        return "".join(self._get_packing_format(position) for position in range(len(self)))

    def count(self, value: object) -> int:
        """Return how many items equal *value*."""
        return sum(value == item for item in self)

    def index(self, value: object) -> int:
        """Return the index of the first item that equals *value*; ValueError if there is none."""
        for position, item in enumerate(self):
            if value == item:
                return position
        raise ValueError(f"{value!r} not in this container")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.shm.name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)}, name={self.shm.name!r})"

    __class_getitem__: Any = classmethod(type(list[int]))


def _rebuild(cls: type[ShareableList], name: str) -> ShareableList:
    return cls(name=name)
