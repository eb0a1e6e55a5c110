"""``SharedMemory``: blocks of memory with a name, as ``multiprocessing.shared_memory`` documents them."""

from __future__ import annotations

import os

from ._segment import LEADING_SLASH, PREFIX, open_segment, remove_segment
from ._tracking import track, tracks_attached, untrack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._mapping import Mapped

_USE_POSIX = os.name == "posix"
_SHM_NAME_PREFIX = PREFIX
_CREATE = os.O_CREAT | os.O_EXCL | os.O_RDWR
_RANDOM_BYTES = 4


def _make_filename() -> str:
    # Short: some systems allow 14 characters.
    return _SHM_NAME_PREFIX + os.urandom(_RANDOM_BYTES).hex()


class SharedMemory:
    """Create or attach to a block of shared memory that any process can find by its name.

    :param name: the block's name; None (with *create*) makes a new one up
    :param create: create a new block instead of attaching to an existing one
    :param size: bytes to create, more than 0; the system may round up. Ignored when attaching
    :param track: let the block be removed at the end of this process tree if nobody has unlinked it. False
        for a block that another program looks after

    Never blocks.

    Raises ValueError for a size that is not positive, for no name without *create* and for a name with a NUL;
    FileExistsError if the name to create is taken; FileNotFoundError if the name to attach to does not exist;
    OSError for a name that the system refuses and for too little room.

    The same names mean the same blocks for the standard library's class, in both directions.
    """

    _name: str | None = None
    _mmap: Mapped | None = None
    _buf: memoryview | None = None
    _size = 0
    _flags = os.O_RDWR
    _mode = 0o600
    _track = True
    _prepend_leading_slash = LEADING_SLASH

    def __init__(
        self, name: str | None = None, create: bool = False, size: int = 0, *, track: bool = True
    ) -> None:
        if not size >= 0:
            raise ValueError(f"'size' must be a positive integer, not {size!r}")
        flags = self._flags
        if create:
            flags |= _CREATE
            if size == 0:
                raise ValueError(
                    "'size' must be a positive number different from zero: give the number of bytes to create"
                )
        if name is None and not flags & os.O_EXCL:
            raise ValueError(
                "'name' can only be None if create=True; give the name of the block to attach to"
            )
        self._track = track
        room = size if create else 0
        if name is None:
            while True:
                full = _make_filename()
                try:
                    mapping, self._size = open_segment(full, flags, self._mode, room)
                except FileExistsError:
                    continue
                break
        else:
            full = "/" + name if self._prepend_leading_slash else name
            mapping, self._size = open_segment(full, flags, self._mode, room)
        self._name = full
        self._mmap = mapping
        if track and _USE_POSIX and (create or tracks_attached()):
            try:
                _track(full)
            except BaseException:
                if create:
                    remove_segment(full)
                raise
        self._buf = memoryview(mapping)

    def __del__(self) -> None:
        # Views that are still about keep the mapping; without any it goes with its last reference.
        self._buf = None
        self._mmap = None

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, False, self._size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, size={self._size})"

    @property
    def buf(self) -> memoryview:
        """The memory, writable; None after ``close()``."""
        return self._buf  # type: ignore[return-value]

    @property
    def name(self) -> str:
        """The name to attach with."""
        full = self._name or ""
        if self._prepend_leading_slash and full.startswith("/"):
            return full[1:]
        return full

    @property
    def size(self) -> int:
        """The size in bytes: at least what was asked for."""
        return self._size

    def close(self) -> None:
        """Give up this object's access to the block; the block lives on. Closing twice does nothing.

        Raises BufferError while views of the memory exist (memoryviews, numpy arrays).
        """
        if self._buf is not None:
            self._buf.release()
            self._buf = None
        if self._mmap is not None:
            self._mmap.close()
            self._mmap = None

    def unlink(self) -> None:
        """Take the name away, once for all processes; the memory goes with the last that has it open.

        Raises FileNotFoundError if the name is gone already. On Windows it does nothing: the system removes a
        block with its last user.
        """
        if _USE_POSIX and self._name:
            remove_segment(self._name)
            if self._track:
                untrack(self._name)


_track = track
