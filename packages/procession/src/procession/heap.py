"""Anonymous shared memory (``multiprocessing.heap``)."""

from __future__ import annotations

from procession_sharedctypes import RawArray

__all__ = ("BufferWrapper",)


class BufferWrapper:
    """*size* bytes of shared memory, zero at first, freed with the last reference in any process."""

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError(f"size must not be negative, not {size}")
        self._size = size
        self._array = RawArray("B", max(size, 1))

    def create_memoryview(self) -> memoryview:
        """Return a writable view of the bytes."""
        return memoryview(self._array).cast("B")[: self._size]
