"""Named shared-memory segments of the operating system, one sibling file for each platform.

Every sibling has:

``PREFIX``
    What generated names begin with.
``LEADING_SLASH``
    Whether the system's name has a slash before the user's.
``open_segment(name, flags, mode, size) -> (mapping, size)``
    Create (``size`` > 0) or open (``size`` == 0) a segment; the mapping is a writable buffer with
    ``close()``. Raises FileExistsError, FileNotFoundError, PermissionError, ValueError for a name with a
    NUL, OSError else.
``remove_segment(name)``
    Take the name away; the memory lives on while it is mapped. Raises FileNotFoundError.
``list_segments() -> list[str]``
    The names that exist, as far as the system tells.
``unmapped_segments(names) -> list[str]``
    Those of the names that exist and that no process has mapped, as far as that can be seen.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from ._windows import (
        LEADING_SLASH,
        PREFIX,
        list_segments,
        open_segment,
        remove_segment,
        unmapped_segments,
    )
elif sys.platform == "linux":
    from ._linux import LEADING_SLASH, PREFIX, list_segments, open_segment, remove_segment, unmapped_segments
else:
    from ._posix import LEADING_SLASH, PREFIX, list_segments, open_segment, remove_segment, unmapped_segments

__all__ = (
    "LEADING_SLASH",
    "PREFIX",
    "list_segments",
    "open_segment",
    "remove_segment",
    "unmapped_segments",
)
