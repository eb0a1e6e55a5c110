# mypy: disable-error-code="attr-defined,call-arg"
"""Windows: named sections of the paging file, which go with their last handle."""

from __future__ import annotations

import _winapi
import errno
import mmap
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._mapping import Mapped

PREFIX = "prc_"
LEADING_SLASH = False


def open_segment(name: str, flags: int, mode: int, size: int) -> tuple[Mapped, int]:
    """See the folder's ``__init__``."""
    if "\0" in name:
        raise ValueError(f"embedded null character in the name {name!r}")
    if size:
        # The handle made first says whether the name is taken; mmap alone would silently attach to it.
        handle = _winapi.CreateFileMapping(
            _winapi.INVALID_HANDLE_VALUE,
            _winapi.NULL,
            _winapi.PAGE_READWRITE,
            (size >> 32) & 0xFFFFFFFF,
            size & 0xFFFFFFFF,
            name,
        )
        try:
            if _winapi.GetLastError() == _winapi.ERROR_ALREADY_EXISTS:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            return mmap.mmap(-1, size, tagname=name), size
        finally:
            _winapi.CloseHandle(handle)
    handle = _winapi.OpenFileMapping(_winapi.FILE_MAP_READ, False, name)
    try:
        address = _winapi.MapViewOfFile(handle, _winapi.FILE_MAP_READ, 0, 0, 0)
    finally:
        _winapi.CloseHandle(handle)
    try:
        size = _winapi.VirtualQuerySize(address)
    finally:
        _winapi.UnmapViewOfFile(address)
    return mmap.mmap(-1, size, tagname=name), size


def remove_segment(name: str) -> None:
    """See the folder's ``__init__``. The system does it with the last handle."""


def list_segments() -> list[str]:
    """See the folder's ``__init__``. The system does not tell."""
    return []


def unmapped_segments(names: list[str]) -> list[str]:
    """See the folder's ``__init__``. The system does not tell."""
    return []
