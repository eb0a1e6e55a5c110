"""Where shared objects stand: in the arena, or without the C core in anonymous memory that children inherit.

Both siblings have:

``allocate(size) -> (buffer, offset, piece)``
    Memory that reads as zero; ``buffer`` from ``offset`` on is writable, ``piece`` owns it. Raises
    MemoryError.
``reduce_piece(piece, name) -> token``
    What stands for the piece in a pickle; ``name`` is the type's, for the error that the portable one may
    raise.
``open_piece(token) -> (buffer, offset, piece)``
    The memory of a token, in the process that unpickles it.
"""

from __future__ import annotations

from procession_shm import native

if native is not None:
    from ._memory_native import allocate, open_piece, reduce_piece
else:
    from ._memory_portable import allocate, open_piece, reduce_piece

__all__ = ("allocate", "open_piece", "reduce_piece")
