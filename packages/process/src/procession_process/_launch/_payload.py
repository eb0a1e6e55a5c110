"""What a child that is not a fork is given: descriptors, its preparation, its process object.

| bytes | content |
| --- | --- |
| 0-7 | length n of the preparation's pickle, little-endian |
| 8-(8+n) | pickle of the Preparation; for a child of a fork server that knows the rest: of (name, life_fd, parent_fd,
stack_fd) |
| the rest | pickle of the process object, to be loaded after the preparation was carried out |

It lies in an anonymous file, so that the parent never blocks on a child that is slow to read, or dead; for the fork
server, which takes its messages at once, a short one is part of the message.
"""

from __future__ import annotations

import os
import sys

from procession_core import default_reducer, runtime, transfer_scope
from procession_core._logging import logging_state

from .._death import new_stack_file, watch_memory
from .._fds import SentFd
from .._main import check_not_importing, describe
from .._methods import get_start_method, have_pidfd
from .._native import cancel, hold, ticket
from .._preparation import Preparation, current_extras
from .._real import real_spawning

if sys.platform == "win32":
    from .._windows import close as _close
    from .._windows import duplicate, own_process
else:
    from .. import _life

    _close = os.close

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._native import Slot

_FIRST_FREE = 3  # descriptors below belong to the standard streams


class SpawnTransfer:
    """The transfer of a child's start: descriptors are duplicated for it, shared objects held by its slot."""

    spawning = True

    def __init__(self, slot: Slot | None) -> None:
        self.fds: list[int] = []
        self.slot = slot

    def hold(self, shared: object) -> None:
        hold(self.slot, shared)

    def send_fd(self, fd: int) -> SentFd:
        return SentFd(self.add(_dup(fd)))

    def add(self, fd: int) -> int:
        """Take over *fd* and return the index under which the child finds it."""
        self.fds.append(fd)
        return len(self.fds) - 1

    # The two names that the standard library's own objects ask for while they are pickled.
    def duplicate_for_child(self, fd: int) -> int:
        return self.add(_dup(fd))

    DupFd = SentFd

    def close(self) -> None:
        """Close the duplicates in this process."""
        for fd in self.fds:
            _close(fd)
        self.fds.clear()

    def fail(self) -> None:
        """The child could not be started: give everything back."""
        self.close()
        cancel(self.slot)
        self.slot = None


def _dup(fd: int) -> int:
    """Return a duplicate of *fd* that no standard stream's number stands for."""
    if sys.platform == "win32":
        return duplicate(fd)
    copy = os.dup(fd)
    if copy >= _FIRST_FREE:
        return copy
    try:
        return _dup(fd)
    finally:
        os.close(copy)


def _reduce_socket(sock: Any) -> Any:
    return __import__("procession_process._sockets", fromlist=("reduce_socket",)).reduce_socket(sock)


# Also where nothing has loaded the connections yet, which register the same.
default_reducer.register_lazily("socket", "socket", _reduce_socket)


def _parent_handle(transfer: SpawnTransfer, method: str) -> int:
    """Return the index of what becomes readable at the end of this process; -1 where the child finds it by itself."""
    if sys.platform != "linux":
        return _life_handle(transfer)
    if method != "forkserver" or not have_pidfd():
        return -1
    fd = os.pidfd_open(os.getpid())
    if fd >= _FIRST_FREE:
        return transfer.add(fd)
    try:
        return transfer.add(_dup(fd))
    finally:
        os.close(fd)


def _life_handle(transfer: SpawnTransfer) -> int:
    """Return the index of what ends a daemonic child when it becomes readable."""
    if sys.platform == "win32":
        watched = own_process()
    else:
        watched = _life.read_end()
    return transfer.add(_dup(watched))


def common_fields(process: Any) -> dict[str, Any]:
    """Return the fields of a preparation that are the same for child after child, until the program changes them.

    Raises RuntimeError while this process is importing its parent's ``__main__``.
    """
    check_not_importing()
    main = describe()
    if main is None:
        runtime.main_by_value = True
    try:
        directory = os.getcwd()
    except OSError:
        directory = None
    original = runtime.original_dir
    return {
        "authkey": bytes(process.authkey),
        "default_method": get_start_method(allow_none=True),
        "directory": directory,
        "extras": current_extras(),
        "logging": logging_state(),
        "main": main,
        "main_by_value": runtime.main_by_value,
        "original_directory": original,
        "sys_argv": list(sys.argv),
        "sys_path": [original if entry == "" and original else entry for entry in sys.path],
    }


def make_preparation(
    transfer: SpawnTransfer, process: Any, method: str, common: dict[str, Any], stack_fd: int = -1
) -> Preparation:
    """Collect what the child must know. Adds descriptors to *transfer*."""
    return Preparation(
        arena=ticket(transfer.slot),
        life_fd=_life_handle(transfer) if process.daemon else -1,
        name=process.name,
        parent_fd=_parent_handle(transfer, method),
        parent_name=process._parent_name,
        parent_pid=os.getpid(),
        stack_fd=stack_fd,
        start_method=method,
        **common,
    )


def build(
    transfer: SpawnTransfer, process: Any, method: str, known: dict[str, Any] | None = None
) -> tuple[bytes, int]:
    """Return the payload and the descriptor of the child's stack file (-1 for none). *known*: the common fields
    that the fork server was told; if they still hold, the child is told the rest alone.

    Raises what pickling raises; *transfer* is to be told then (``fail()``).
    """
    watch_memory()
    stack_fd = new_stack_file()
    try:
        with transfer_scope(transfer), real_spawning(transfer):
            common = common_fields(process)
            its_stack_fd = transfer.add(_dup(stack_fd)) if stack_fd >= 0 else -1
            preparation: object
            if common == known and not common["extras"]:
                life_fd = _life_handle(transfer) if process.daemon else -1
                preparation = (process.name, life_fd, _parent_handle(transfer, method), its_stack_fd)
            else:
                preparation = make_preparation(transfer, process, method, common, its_stack_fd)
            first = default_reducer.dumps(preparation)
            second = default_reducer.dumps(process)
    except BaseException:
        if stack_fd >= 0:
            os.close(stack_fd)
        raise
    return b"".join((len(first).to_bytes(8, "little"), first, second)), stack_fd


def as_file(data: bytes) -> int:
    """Return a descriptor of an anonymous file that contains *data*."""
    fd = os.memfd_create("procession-start") if hasattr(os, "memfd_create") else _temporary_file()
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    except BaseException:
        os.close(fd)
        raise
    return fd


def _temporary_file() -> int:
    from tempfile import TemporaryFile

    with TemporaryFile() as file:
        return os.dup(file.fileno())
