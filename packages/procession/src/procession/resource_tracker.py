"""What remains of the resource tracker (``multiprocessing.resource_tracker``).

Nothing here has a name that could leak, except ``SharedMemory``, whose names the arena keeps; so there is no tracker
process to start. Programs that take a segment out of the tracker's hands, or put one in, do that here too.
"""

from __future__ import annotations

from procession_shm._tracking import track, untrack

SHARED_MEMORY = "shared_memory"


class ResourceTracker:
    """Knows which named segments the process tree removes when it ends."""

    _fd: int | None = None
    _pid: int | None = None

    def ensure_running(self) -> None:
        """Nothing: there is no tracker process."""

    def getfd(self) -> int | None:
        """Return None: there is no tracker process to write to."""
        return self._fd

    def register(self, name: str, rtype: str) -> None:
        """Let the process tree remove segment *name* at its end; other resources have no names and need nothing."""
        if rtype == SHARED_MEMORY:
            track(name)

    def unregister(self, name: str, rtype: str) -> None:
        """Let segment *name* outlive the process tree."""
        if rtype == SHARED_MEMORY:
            untrack(name)


_resource_tracker = ResourceTracker()
ensure_running = _resource_tracker.ensure_running
getfd = _resource_tracker.getfd
register = _resource_tracker.register
unregister = _resource_tracker.unregister

__all__ = ("ResourceTracker", "ensure_running", "getfd", "register", "unregister")
