"""``RawValue``, ``RawArray`` and ``copy``: ctypes objects in shared memory, without a lock."""

from __future__ import annotations

import ctypes

from procession_core import default_reducer

from ._memory import allocate, open_piece, reduce_piece
from ._types import resolve, shaped, type_of_token, type_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_PIECE = "_procession_piece"
_known: set[type] = set()


def new_value(type_: Any) -> Any:
    """Return an object of the ctypes type *type_* in shared memory of its own, all zero."""
    buffer, offset, piece = allocate(ctypes.sizeof(type_))
    return _place(type_, buffer, offset, piece)


def _place(type_: Any, buffer: Any, offset: int, piece: Any) -> Any:
    if type_ not in _known:
        # Pickled by us where it stands in shared memory, by value elsewhere.
        default_reducer.register(type_, reduce_ctype)
        _known.add(type_)
    obj = type_.from_buffer(buffer, offset)
    obj._procession_piece = piece
    return obj


def standing_in(obj: Any) -> tuple[Any, int] | None:
    """Return the shared memory that a ctypes object stands in and where, or None if it stands elsewhere."""
    root = obj
    while root._b_base_ is not None:
        root = root._b_base_
    root = getattr(root, "_procession_root", root)
    piece = getattr(root, _PIECE, None)
    if piece is None:
        return None
    return piece, ctypes.addressof(obj) - ctypes.addressof(root)


def reduce_ctype(obj: Any) -> tuple[object, ...]:
    """Reduce a ctypes object: where it stands if that is shared memory, else its value."""
    found = standing_in(obj)
    if found is None:
        plain: tuple[object, ...] = obj.__reduce_ex__(2)
        return plain
    return rebuild_ctype, describe(obj, found)


def describe(obj: Any, found: tuple[Any, int], name: str = "") -> tuple[Any, Any, int]:
    """The arguments of ``rebuild_ctype()`` for an object of which ``standing_in()`` has found the memory."""
    return type_token(type(obj)), reduce_piece(found[0], name or type(obj).__name__), found[1]


def rebuild_ctype(token: Any, where: Any, offset: int) -> Any:
    """Return the object that ``describe()`` described, in the same memory."""
    buffer, start, piece = open_piece(where)
    if offset == 0:
        return _place(type_of_token(token), buffer, start, piece)
    # A part of a larger object: a root that covers the memory from the piece's start on says where it stands.
    type_ = type_of_token(token)
    root = _place(ctypes.c_char * (offset + ctypes.sizeof(type_)), buffer, start, piece)
    part = type_.from_buffer(root, offset)
    part._procession_root = root
    return part


def RawValue(typecode_or_type: Any, *args: Any) -> Any:
    """Return a ctypes object in shared memory, without a lock.

    :param typecode_or_type: a ctypes type or one of the typecodes ``c u b B h H i I l L q Q f d``
    :param args: what the type is initialised with; without any it is zero

    Reading and writing of a value of one machine word is one step, ``+=`` is not. Never blocks.

    Raises TypeError for what is no type, MemoryError if there is no memory, and what the type's constructor
    raises. (multiprocessing.sharedctypes.RawValue)
    """
    obj = new_value(resolve(typecode_or_type))
    if args:
        obj.__init__(*args)
    return obj


def RawArray(typecode_or_type: Any, size_or_initializer: Any = None, *, shape: Any = None) -> Any:
    """Return a ctypes array in shared memory, without a lock.

    :param typecode_or_type: of the elements, as for ``RawValue()``
    :param size_or_initializer: the length (all zero then), or a sequence of the elements
    :param shape: an int or a sequence of ints: the array has that many dimensions, and a sequence of
        elements may be given flat or nested

    ``numpy.asarray()`` of it is a view with the right type and shape. Never blocks.

    Raises TypeError for what is no type and for neither size nor shape, ValueError for a negative length and
    for a number of elements that does not fill the shape, MemoryError if there is no memory.
    (multiprocessing.sharedctypes.RawArray)
    """
    type_ = resolve(typecode_or_type)
    if shape is not None:
        return _shaped_array(type_, size_or_initializer, shape)
    if size_or_initializer is None:
        raise TypeError("RawArray() needs a size, a sequence of elements or a shape, and got none of them")
    if isinstance(size_or_initializer, int):
        return new_value(type_ * size_or_initializer)
    array = new_value(type_ * len(size_or_initializer))
    array.__init__(*size_or_initializer)
    return array


def _shaped_array(type_: Any, initializer: Any, shape: int | Sequence[int]) -> Any:
    array_type, total = shaped(type_, shape)
    if isinstance(initializer, int):
        if initializer != total:
            raise ValueError(
                f"size {initializer} does not fill shape {shape!r}, which has {total}; leave it out"
            )
        initializer = None
    if initializer is None:
        return new_value(array_type)
    elements = list(initializer)
    inner = array_type._type_
    while inner is not type_ and len(elements) != total and all(hasattr(row, "__len__") for row in elements):
        elements = [element for row in elements for element in row]
        inner = inner._type_
    if len(elements) != total:
        raise ValueError(f"{len(elements)} elements do not fill shape {shape!r}, which has {total}")
    array = new_value(array_type)
    (type_ * total).from_buffer(array).__init__(*elements)
    return array


def copy(obj: Any) -> Any:
    """Return a new object in shared memory with the type and the value of the ctypes object *obj*.

    Raises TypeError for what is no ctypes object. (multiprocessing.sharedctypes.copy)
    """
    new = new_value(resolve(type(obj)))
    ctypes.memmove(ctypes.addressof(new), ctypes.addressof(obj), ctypes.sizeof(obj))
    return new
