"""SharedMemoryManager: a server that looks after blocks of shared memory."""

from __future__ import annotations

import os

from procession_shm import ShareableList, SharedMemory

from ._errors import ManagerStateError
from ._manager import BaseManager, State
from ._server import Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


class SharedMemoryTracker:
    """Remembers the names of blocks, and removes those blocks in the end."""

    def __init__(self, name: str, segment_names: Sequence[str] = ()) -> None:
        self.shared_memory_context_name = name
        self.segment_names = list(segment_names)

    def register_segment(self, name: str) -> None:
        """Look after the block *name*."""
        self.segment_names.append(name)

    def destroy_segment(self, name: str) -> None:
        """Remove the block *name*. Raises ValueError if it is not looked after."""
        self.segment_names.remove(name)
        try:
            segment = SharedMemory(name)
        except FileNotFoundError:
            return
        segment.close()
        segment.unlink()

    def unlink(self) -> None:
        """Remove all blocks."""
        for name in self.segment_names[:]:
            self.destroy_segment(name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shared_memory_context_name!r}, {self.segment_names!r})"


class SharedMemoryServer(Server):
    """A server with a tracker of shared memory."""

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)
        name = "_".join(str(part) for part in ("shm", type(self).__name__, os.getpid(), os.urandom(4).hex()))
        self.shared_memory_context = SharedMemoryTracker(name)

    def track_segment(self, peer: Any, segment_name: str) -> None:
        """Look after a block."""
        self.shared_memory_context.register_segment(segment_name)

    def release_segment(self, peer: Any, segment_name: str) -> None:
        """Remove a block."""
        self.shared_memory_context.destroy_segment(segment_name)

    def list_segments(self, peer: Any) -> list[str]:
        """Return the names of the blocks."""
        return list(self.shared_memory_context.segment_names)

    def _end(self) -> None:
        try:
            self.shared_memory_context.unlink()
        finally:
            super()._end()

    functions = {
        **Server.functions,
        "list_segments": list_segments,
        "release_segment": release_segment,
        "track_segment": track_segment,
    }


class SharedMemoryManager(BaseManager):
    """A manager of blocks of shared memory: they are removed when it shuts down.

    The parameters are those of BaseManager.
    """

    _Server = SharedMemoryServer

    def SharedMemory(self, size: int) -> SharedMemory:
        """Return a new block of at least *size* bytes. Raises as ``SharedMemory()``, ProcessError before the
        start.
        """
        self._started()
        block = SharedMemory(None, create=True, size=size)
        try:
            self._link_to(self._address).request("track_segment", (block.name,))
        except BaseException:
            block.close()
            block.unlink()
            raise
        return block

    def ShareableList(self, sequence: Any) -> ShareableList:
        """Return a new ShareableList of the values of *sequence*. Raises as ``SharedMemory()`` does."""
        self._started()
        items = ShareableList(sequence)
        try:
            self._link_to(self._address).request("track_segment", (items.shm.name,))
        except BaseException:
            items.shm.close()
            items.shm.unlink()
            raise
        return items

    def _started(self) -> None:
        if self._state.value != State.STARTED:
            if self._state.value == State.INITIAL:
                raise ManagerStateError(
                    "SharedMemoryManager has not been started: call start(), or use it as a context"
                )
            raise ManagerStateError("SharedMemoryManager has shut down; make a new one")
