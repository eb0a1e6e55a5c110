"""Shared objects in anonymous files, mapped: children that are forked inherit them, others get the
descriptor.

Memory is handed out from the front of a chunk and never used twice: what one process has dropped, a forked
child may still be using. A chunk goes when its last object goes.
"""

from __future__ import annotations

import mmap
import os
import sys
from weakref import WeakValueDictionary

from procession_core import InheritanceError, current_transfer, reset_after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHUNK = 1 << 16
_ALIGNMENT = 16
_POSIX = os.name == "posix"


def _anonymous_file(size: int) -> int:
    if sys.platform == "linux":
        fd = os.memfd_create("procession-values", os.MFD_CLOEXEC)
    else:
        import tempfile

        fd, path = tempfile.mkstemp(prefix="procession-")
        os.unlink(path)
    try:
        os.ftruncate(fd, size)
    except OSError as error:
        os.close(fd)
        raise MemoryError(f"no {size} bytes for a shared object: {error}") from error
    return fd


class _Chunk:
    """A mapped file. Its pieces keep it; the descriptor is closed with it."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self.used = 0
        try:
            self.memory = mmap.mmap(fd, size)
        except OSError as error:
            raise MemoryError(f"no {size} bytes for a shared object: {error}") from error

    def __del__(self) -> None:
        # The mapping itself goes with the last ctypes object that stands in it.
        if self.fd >= 0 and os is not None:  # None at the end of an interpreter without the GIL
            try:
                os.close(self.fd)
            except OSError:  # at the interpreter's end
                pass


class _Anonymous(_Chunk):
    """Windows: a section of the paging file, found by its name."""

    def __init__(self, size: int, name: str | None = None) -> None:
        self.fd = -1
        self.size = size
        self.used = 0
        self.name = name or f"procession-{os.getpid()}-{os.urandom(8).hex()}"
        if sys.platform != "win32":
            raise OSError("a section of the paging file needs Windows")
        self.memory = mmap.mmap(-1, size, tagname=self.name)


class Piece:
    """A part of a chunk."""

    __slots__ = ("chunk", "offset")

    def __init__(self, chunk: _Chunk, offset: int) -> None:
        self.chunk = chunk
        self.offset = offset


class _State:
    current: _Chunk | None = None


# Chunks that came from other processes, by the identity of their file: one mapping for all pieces in one.
_received: WeakValueDictionary[tuple[int, int] | str, _Chunk] = WeakValueDictionary()


def _forget_current() -> None:
    _State.current = None  # it is the parent's to hand out


reset_after_fork(_forget_current)


def _new_chunk(size: int) -> _Chunk:
    if _POSIX:
        return _Chunk(_anonymous_file(size), size)
    return _Anonymous(size)


def allocate(size: int) -> tuple[Any, int, Any]:
    """See ``_memory``."""
    size = -(-(size or 1) // _ALIGNMENT) * _ALIGNMENT
    if size > _CHUNK // 4:
        chunk = _new_chunk(size)
        return chunk.memory, 0, Piece(chunk, 0)
    current = _State.current
    if current is None or current.used + size > current.size:
        current = _State.current = _new_chunk(_CHUNK)
    offset = current.used
    current.used += size
    return current.memory, offset, Piece(current, offset)


def reduce_piece(piece: Any, name: str) -> Any:
    """See ``_memory``. Raises InheritanceError but for the start of a child."""
    transfer = current_transfer()
    if transfer is None or not transfer.spawning:
        raise InheritanceError(
            f"{name} objects should only be shared between processes through inheritance: give them to the "
            "Process that needs them (with the C core they can be sent anywhere)"
        )
    chunk = piece.chunk
    token = chunk.name if isinstance(chunk, _Anonymous) else transfer.send_fd(chunk.fd)
    return token, chunk.size, piece.offset


def open_piece(token: Any) -> tuple[Any, int, Any]:
    """See ``_memory``."""
    sender, size, offset = token
    key: tuple[int, int] | str
    if isinstance(sender, str):
        key = sender
        chunk = _received.get(key)
        if chunk is None:
            chunk = _received[key] = _Anonymous(size, sender)
    else:
        fd = sender.detach()
        status = os.fstat(fd)
        key = (status.st_dev, status.st_ino)
        chunk = _received.get(key)
        if chunk is None:
            chunk = _received[key] = _Chunk(fd, size)
        else:
            os.close(fd)
    return chunk.memory, offset, Piece(chunk, offset)
