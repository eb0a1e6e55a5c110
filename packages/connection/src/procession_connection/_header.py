"""What stands before the payload of a frame."""

from __future__ import annotations

from struct import Struct

SHORT = Struct("!i")
LONG = Struct("!Q")
LARGEST_SHORT = 0x7FFFFFFF
TRUNCATED = "got end of file during message"


def header(size: int) -> bytes:
    """Return what stands before a payload of *size* bytes."""
    if size <= LARGEST_SHORT:
        return SHORT.pack(size)
    return SHORT.pack(-1) + LONG.pack(size)
