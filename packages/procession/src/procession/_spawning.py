"""Whether a child's start is being pickled, under the names that programs ask by."""

from __future__ import annotations

from _thread import _local

from procession_core import InheritanceError, current_transfer, transfer_scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("assert_spawning", "get_spawning_popen", "set_spawning_popen")


def get_spawning_popen() -> Any:
    """Return what carries the child that this thread is pickling, None if it pickles none.

    It has ``duplicate_for_child(fd)`` and ``DupFd(fd)``.
    """
    transfer = current_transfer()
    return transfer if transfer is not None and transfer.spawning else None


def set_spawning_popen(popen: Any) -> None:
    """Say that what this thread pickles next goes to the child of *popen*; None ends that.

    For launchers that are not this library's. *popen* needs ``duplicate_for_child(fd)`` and ``DupFd``.
    """
    if _entered.scope is not None:
        _entered.scope.__exit__(None, None, None)
        _entered.scope = None
    if popen is not None:
        scope = transfer_scope(popen if hasattr(popen, "hold") else _Foreign(popen))
        scope.__enter__()
        _entered.scope = scope


class _Entered(_local):
    scope: transfer_scope | None = None


_entered = _Entered()


def assert_spawning(obj: object) -> None:
    """Raise InheritanceError (a RuntimeError) unless *obj* is being pickled for the start of a child."""
    if get_spawning_popen() is None:
        raise InheritanceError(
            f"{type(obj).__name__} objects should only be shared between processes through inheritance; "
            "pass it to the Process when it is started"
        )


class _Foreign:
    """The transfer of a launcher that is not ours."""

    spawning = True

    def __init__(self, popen: Any) -> None:
        self._popen = popen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._popen, name)

    def hold(self, shared: object) -> None:
        """Nothing: its child is no process of this tree."""

    def send_fd(self, fd: int) -> object:
        """Let the launcher duplicate *fd*."""
        return self._popen.DupFd(fd)
