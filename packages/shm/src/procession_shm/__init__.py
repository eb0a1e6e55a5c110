"""The arena as Python sees it: blocks as buffers, out-of-band payloads, SharedMemory, ShareableList."""

from __future__ import annotations

from ._blocks import memory, set_memory_limit
from ._message_transfer import MessageTransfer
from ._messages import Message, pack, unpack
from ._native import native
from ._orphans import orphaned_segments, remove_orphans
from ._share import SharedObject, share
from ._shareable_list import ShareableList, UnsupportedItemError
from ._shared_memory import SharedMemory
from ._threshold import oob_threshold, set_oob_threshold
from ._tracking import tracked as tracked_segments

__all__ = (
    "Message",
    "MessageTransfer",
    "ShareableList",
    "SharedMemory",
    "SharedObject",
    "UnsupportedItemError",
    "memory",
    "native",
    "oob_threshold",
    "orphaned_segments",
    "pack",
    "remove_orphans",
    "set_memory_limit",
    "set_oob_threshold",
    "share",
    "tracked_segments",
    "unpack",
)
