"""Which named segments this process tree still has to remove when it ends.

With the C core the names stand in the arena, and the last process of the tree to end removes what is left:
also when the creator ended long ago or was killed. No process waits for that. Without the core each process
removes, when it ends in order, what it tracks itself.
"""

from __future__ import annotations

from procession_core import runtime

from ._native import native

TYPE_CHECKING = False
if TYPE_CHECKING or native is None:
    from ._tracking_portable import track, tracked, untrack
else:
    from ._tracking_native import track, tracked, untrack


def tracks_attached() -> bool:
    """Say whether this process tracks what it attaches to. Without the core the end of the first child that attached
    would be the end of the segment, so there only the main process does.
    """
    return native is not None or not runtime.is_child


__all__ = ("track", "tracked", "tracks_attached", "untrack")
