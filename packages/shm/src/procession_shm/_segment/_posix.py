"""Other POSIX systems: shm_open() as the interpreter has it."""

from __future__ import annotations

import _posixshmem  # type: ignore[import-not-found,unused-ignore]
import os

from .._mapping import map_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._mapping import Mapped

PREFIX = "/prc_"
LEADING_SLASH = True


def open_segment(name: str, flags: int, mode: int, size: int) -> tuple[Mapped, int]:
    """See the folder's ``__init__``."""
    if "\0" in name:
        raise ValueError(f"embedded null character in the name {name!r}")
    fd = _posixshmem.shm_open(name, flags, mode=mode)
    try:
        try:
            if size:
                os.ftruncate(fd, size)
            # macOS rounds the size up to whole pages.
            size = os.fstat(fd).st_size
            return map_file(fd, size), size
        except BaseException:
            if flags & os.O_EXCL:
                _posixshmem.shm_unlink(name)
            raise
    finally:
        os.close(fd)


def remove_segment(name: str) -> None:
    """See the folder's ``__init__``."""
    if "\0" in name:
        raise ValueError(f"embedded null character in the name {name!r}")
    _posixshmem.shm_unlink(name)


def list_segments() -> list[str]:
    """See the folder's ``__init__``. These systems do not tell."""
    return []


def unmapped_segments(names: list[str]) -> list[str]:
    """See the folder's ``__init__``. These systems do not tell."""
    return []
