"""Shared objects in blocks of the arena."""

from __future__ import annotations

from procession_core import current_transfer
from procession_shm import native as _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_core: Any = _native
_Block = _core.Block
_open = _core.open_handle


def allocate(size: int) -> tuple[Any, int, Any]:
    """See ``_memory``. The kernel has zeroed what was never used; the core zeroes the rest."""
    block = _Block(size or 1, True)
    return block, 0, block


def reduce_piece(piece: Any, name: str) -> Any:
    """See ``_memory``. Works anywhere in the tree: what carries the pickle holds the block."""
    transfer = current_transfer()
    if transfer is not None:
        transfer.hold(piece)
    return piece.handle()


def open_piece(token: Any) -> tuple[Any, int, Any]:
    """See ``_memory``. Raises StaleHandleError if the block is gone, ForeignTreeError outside its tree."""
    block = _open(token)
    return block, 0, block
