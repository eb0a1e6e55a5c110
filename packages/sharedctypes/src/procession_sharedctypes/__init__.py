"""Value, Array, RawValue, RawArray and their synchronized wrappers."""

from __future__ import annotations

from ._factories import Array, Value
from ._raw import RawArray, RawValue, copy
from ._synchronized import (
    AlreadySynchronizedError,
    Synchronized,
    SynchronizedArray,
    SynchronizedBase,
    SynchronizedString,
    synchronized,
)
from ._types import typecode_to_type

__all__ = (
    "AlreadySynchronizedError",
    "Array",
    "RawArray",
    "RawValue",
    "Synchronized",
    "SynchronizedArray",
    "SynchronizedBase",
    "SynchronizedString",
    "Value",
    "copy",
    "synchronized",
    "typecode_to_type",
)
