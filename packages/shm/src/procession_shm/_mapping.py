"""A file's memory as a writable buffer: the C core's mapping, or ``mmap`` without it."""

from __future__ import annotations

from ._native import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Mapped: TypeAlias = Any  # writable buffer with close(), which raises BufferError while views exist

if native is not None:
    # Unlike mmap it keeps no descriptor, and ShareableList's accessors in C can see that it was closed.
    map_file = native.Mapping
else:
    from ._mapping_portable import map_file

__all__ = ("map_file",)
