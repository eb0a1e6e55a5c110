"""Typecodes, ctypes types and shapes, and how a type travels."""

from __future__ import annotations

import ctypes
from operator import index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

typecode_to_type: dict[str, Any] = {
    "c": ctypes.c_char,
    "u": ctypes.c_wchar,
    "b": ctypes.c_byte,
    "B": ctypes.c_ubyte,
    "h": ctypes.c_short,
    "H": ctypes.c_ushort,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "l": ctypes.c_long,
    "L": ctypes.c_ulong,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}
"""What each typecode of the array module (and ``c``) stands for."""

_CData = ctypes.c_int.__mro__[-2]


def resolve(typecode_or_type: Any) -> Any:
    """Return the ctypes type that the argument names.

    Raises TypeError for an unknown typecode and for what is no ctypes type.
    """
    if isinstance(typecode_or_type, str):
        found = typecode_to_type.get(typecode_or_type)
        if found is not None:
            return found
    elif isinstance(typecode_or_type, type) and issubclass(typecode_or_type, _CData):
        return typecode_or_type
    raise TypeError(
        f"this type has no size: bad typecode {typecode_or_type!r}, neither a code ({', '.join(typecode_to_type)}) "
        "nor a ctypes type"
    )


def shaped(base: Any, shape: int | Sequence[int]) -> tuple[Any, int]:
    """Return the array type of *shape* (an int or a sequence of them) and the number of its elements.

    Raises TypeError for what is not ints, ValueError for no or negative dimensions.
    """
    sizes = [index(shape)] if isinstance(shape, int) else [index(size) for size in shape]
    if not sizes:
        raise ValueError("shape must have at least one dimension, not ()")
    total = 1
    for size in reversed(sizes):
        base = base * size
        total *= size
    return base, total


def type_token(type_: Any) -> Any:
    """What a type is pickled as: array types have no importable name, so they are described."""
    if issubclass(type_, ctypes.Array) and type_ is type_._type_ * type_._length_:
        return type_token(type_._type_), type_._length_
    return type_


def type_of_token(token: Any) -> Any:
    """Return the type that ``type_token()`` described."""
    if isinstance(token, tuple):
        return type_of_token(token[0]) * token[1]
    return token
