"""The arena as Python sees it: blocks as buffers, SharedMemory, ShareableList."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
