"""What the standard library's queues ask the private part of a semaphore.

``concurrent.futures`` makes its queue of the standard library's class and gives it the semaphores of whichever
context it was handed.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class SemLockView:
    """A lock or semaphore under the names of the standard library's C object."""

    __slots__ = ("_shared",)

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    name = None

    @property
    def maxvalue(self) -> int:
        """The most it can count."""
        return getattr(self._shared, "_maxvalue", 1)

    def _get_value(self) -> int:
        shared = self._shared
        if hasattr(shared, "get_value"):
            return int(shared.get_value())
        return int(shared._state()[0] == "free")

    def _is_zero(self) -> bool:
        return self._get_value() == 0

    def _is_mine(self) -> bool:
        return bool(self._shared._state()[0] == "mine")

    def _count(self) -> int:
        state = self._shared._state()
        return int(state[1]) if state[0] == "mine" else 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """As that of the lock or semaphore."""
        return bool(self._shared.acquire(block, timeout))

    def release(self) -> None:
        """As that of the lock or semaphore."""
        self._shared.release()


class ViewOfSemLock:
    """The descriptor of ``_semlock``."""

    def __get__(self, shared: Any, kind: type[Any] | None = None) -> Any:
        return self if shared is None else SemLockView(shared)
