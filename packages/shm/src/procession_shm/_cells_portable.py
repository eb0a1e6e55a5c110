"""Element access of ``ShareableList`` without the C core. ``_shareable_list`` shows the memory's format."""

from __future__ import annotations

import operator
from _struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_Q = Struct("<q")
_D = Struct("<d")
_KEEP, _STR, _BYTES, _NONE = range(4)


class CellList:
    """The portable sibling of the core's class of this name."""

    _memory: Any = None

    def _bind(self, mapping: Any) -> None:
        size = len(mapping)
        count = _Q.unpack_from(mapping, 0)[0] if size >= 16 else -1
        if not 0 <= count <= size // 8 or 8 + 8 * (count + 1) > size:
            raise self._damaged()
        self._data = 8 + 8 * (count + 1)
        data_size = _Q.unpack_from(mapping, 8 + 8 * count)[0]
        if not 0 <= data_size <= size - self._data - 9 * count:
            raise self._damaged()
        self._count = count
        self._formats = self._data + data_size
        self._codes = self._formats + 8 * count
        self._memory = mapping

    @staticmethod
    def _damaged() -> ValueError:
        return ValueError("the shared memory does not hold a ShareableList, or was overwritten")

    def _place(self, index: Any, message: str) -> tuple[Any, int, int, int]:
        """The memory, the item's index, where it starts and how many bytes it has."""
        try:
            index = operator.index(index)
        except TypeError:
            raise TypeError(f"list indices must be integers or slices, not {type(index).__name__}")
        given = index
        if index < 0:
            index += self._count
        if not 0 <= index < self._count:
            raise IndexError(
                f"{message}: {given} in a list of {self._count} items; use one from -len() to len() - 1"
            )
        memory = self._memory
        if memory is None or memory.closed:
            raise TypeError(
                "a bytes-like object is required, not 'NoneType': the list's shared memory is closed"
            )
        start = _Q.unpack_from(memory, 8 + 8 * index)[0]
        end = _Q.unpack_from(memory, 16 + 8 * index)[0]
        if not 0 <= start <= end <= self._formats - self._data:
            raise self._damaged()
        return memory, index, self._data + start, end - start

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        for index in range(self._count):
            yield self[index]

    def __getitem__(self, index: int) -> Any:
        memory, index, start, room = self._place(index, "index out of range")
        at = self._formats + 8 * index
        form = memory[at : at + 8].rstrip(b"\0")
        code = memory[self._codes + index]
        if code == _NONE:
            return None
        if form == b"q":
            return _Q.unpack_from(memory, start)[0]
        if form == b"d":
            return _D.unpack_from(memory, start)[0]
        if form == b"xxxxxxx?":
            return memory[start + 7] != 0
        digits = form[:-1]
        if form[-1:] != b"s" or not digits.isdigit() or int(digits) > room or code not in (_STR, _BYTES):
            text = form.decode("ascii", "replace")
            raise ValueError(f"item {index} of the ShareableList has the unknown format {text!r}")
        value = memory[start : start + int(digits)].rstrip(b"\0")
        return value.decode() if code == _STR else value

    def __setitem__(self, index: int, value: Any) -> None:
        self._place(index, "assignment index out of range")
        self._assign(operator.index(index), value)

    def _assign(self, index: int, value: Any) -> None:
        raise TypeError(f"{type(self).__name__} cannot be assigned to")
