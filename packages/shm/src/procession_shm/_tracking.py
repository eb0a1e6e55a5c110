"""Which named segments this process tree still has to remove when it ends.

With the C core the names stand in the arena, and the last process of the tree to end removes what is left:
also when the creator ended long ago or was killed. No process waits for that. Without the core each process
removes, when it ends in order, what it tracks itself.
"""

from __future__ import annotations

from ._native import native

TYPE_CHECKING = False
if TYPE_CHECKING or native is None:
    from ._tracking_portable import track, tracked, untrack
else:
    from ._tracking_native import track, tracked, untrack

__all__ = ("track", "tracked", "untrack")
