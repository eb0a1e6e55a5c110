"""Named shared memory (``multiprocessing.shared_memory``)."""

from __future__ import annotations

from procession_shm import ShareableList, SharedMemory
from procession_shm._shared_memory import _SHM_NAME_PREFIX, _USE_POSIX, _make_filename

__all__ = ("ShareableList", "SharedMemory")
