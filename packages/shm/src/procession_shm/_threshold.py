"""From which size on buffers travel in shared memory."""

from __future__ import annotations

DEFAULT_THRESHOLD = 65536


class Settings:
    """The threshold of this process; children that are forked inherit it."""

    threshold = DEFAULT_THRESHOLD


def set_oob_threshold(size: int) -> int:
    """Let buffers of at least *size* bytes travel in shared memory instead of inside the message; return the
    old value. 0 turns it off. The default is 65536.

    It holds for what this process sends. Raises TypeError for what is not an int, ValueError for a negative
    one. Without the C core all buffers travel inside the message.
    """
    if not isinstance(size, int):
        raise TypeError(f"the threshold must be a number of bytes, not {size!r}")
    if size < 0:
        raise ValueError(f"the threshold must be 0 (off) or a number of bytes, not {size}")
    old = Settings.threshold
    Settings.threshold = size
    return old


def oob_threshold() -> int:
    """Return the size in bytes from which buffers travel in shared memory; 0: never."""
    return Settings.threshold
