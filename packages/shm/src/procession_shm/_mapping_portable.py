"""A file's memory as a writable buffer, through ``mmap``."""

from __future__ import annotations

import mmap


def map_file(fd: int, size: int) -> mmap.mmap:
    """Map the first *size* bytes of *fd* for reading and writing; *fd* may be closed afterwards."""
    return mmap.mmap(fd, size)
