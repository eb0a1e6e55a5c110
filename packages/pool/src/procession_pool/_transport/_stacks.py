"""Where a worker's last stack is written."""

from __future__ import annotations

import os
import sys

from procession_core import current_transfer, owner

try:
    import _signal  # type: ignore[import-not-found] # not `signal`, which imports enum
except ImportError:
    _signal = None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST = 65536

DUMP_SIGNAL: int | None = (
    None if _signal is None or not hasattr(_signal, "SIGRTMAX") else _signal.SIGRTMAX - 3
)
"""Sent to a worker whose time is over, before it is killed."""

NO_MEMORY = b"no memory was left within memory_limit\n"
"""Instead of a stack: a worker could not even report the MemoryError of its task."""


class StackFile:
    """A file without a name into which the worker's faulthandler writes; -1 where there is none."""

    def __init__(self) -> None:
        # Here and not in each forked worker.
        import faulthandler  # noqa: F401

        if sys.platform == "linux":
            self._own(os.memfd_create("procession-stack"))
        else:
            self._own(-1)

    def _own(self, fd: int) -> None:
        self.fd = fd
        self._owner = None if fd < 0 else owner(fd)

    def read(self) -> str | None:
        """Return what was written."""
        if self.fd < 0 or sys.platform == "win32":
            return None
        data = os.pread(self.fd, _MOST, 0)
        return data.decode(errors="replace") if data else None

    def ask(self, pid: int) -> bool:
        """Let the worker write the stacks of its threads; False: that cannot be."""
        if self.fd < 0 or DUMP_SIGNAL is None:
            return False
        try:
            os.kill(pid, DUMP_SIGNAL)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the pool's descriptor."""
        self.fd = -1
        if self._owner is not None:
            self._owner.close()

    def __reduce__(self) -> tuple[Any, ...]:
        transfer = current_transfer()
        token = transfer.send_fd(self.fd) if transfer is not None and self.fd >= 0 else None
        return rebuild_stack_file, (token,)


def rebuild_stack_file(token: Any) -> StackFile:
    """In the worker: the file that was sent."""
    file = StackFile.__new__(StackFile)
    file._own(-1 if token is None else token.detach())
    return file
