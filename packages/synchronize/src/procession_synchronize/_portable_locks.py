"""Lock, RLock, Semaphore and BoundedSemaphore of the portable variant."""

from __future__ import annotations

from procession_core import NotSupportedError
from procession_synchronize._portable_semlock import RECURSIVE_MUTEX, SEM_VALUE_MAX, SEMAPHORE, SemLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _check_policy(policy: str) -> None:
    if policy not in ("raise", "recover"):
        raise ValueError(f"on_owner_death must be 'raise' or 'recover', not {policy!r}")
    if policy == "recover":
        raise NotSupportedError(
            "on_owner_death='recover' needs the native core: this variant cannot see the death of an owner; "
            "build it with a C compiler, or leave the argument out"
        )


class Lock(SemLock):
    """A lock that any process or thread may release.

    Args:
        on_owner_death: ``"recover"`` is refused here: only the native variant notices the death of an owner.
        ctx: a context that tells the start method its children are started with.

    Raises:
        NotSupportedError: ``on_owner_death="recover"``.
        OSError: the platform has no working semaphores.
    """

    __module__ = "procession_synchronize"

    def __init__(self, *, on_owner_death: str = "raise", ctx: Any = None) -> None:
        _check_policy(on_owner_death)
        super().__init__(SEMAPHORE, 1, 1, ctx=ctx)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(owner={self._owner_name()})>"


class RLock(SemLock):
    """A lock that its owning thread may acquire again; only that thread may release it.

    Args:
        on_owner_death: ``"recover"`` is refused here: only the native variant notices the death of an owner.
        ctx: a context that tells the start method its children are started with.

    Raises:
        NotSupportedError: ``on_owner_death="recover"``.
        OSError: the platform has no working semaphores.
    """

    __module__ = "procession_synchronize"

    def __init__(self, *, on_owner_death: str = "raise", ctx: Any = None) -> None:
        _check_policy(on_owner_death)
        super().__init__(RECURSIVE_MUTEX, 1, 1, ctx=ctx)

    def __repr__(self) -> str:
        owner = self._owner_name()
        if self._semlock._is_mine():
            count = str(self._semlock._count())
        else:
            count = "0" if owner == "None" else "nonzero"
        return f"<{type(self).__name__}({owner}, {count})>"


class Semaphore(SemLock):
    """A counting semaphore.

    Args:
        value: how many acquires succeed before one waits; at least 0.
        track_holders: refused here: only the native variant gives back a dead holder's permits.
        ctx: a context that tells the start method its children are started with.

    Raises:
        ValueError: the value is negative or too large.
        NotSupportedError: ``track_holders=True``.
        OSError: the platform has no working semaphores.
    """

    __module__ = "procession_synchronize"

    _bounded = False

    def __init__(self, value: int = 1, *, track_holders: bool = False, ctx: Any = None) -> None:
        if track_holders:
            raise NotSupportedError(
                "track_holders=True needs the native core: this variant cannot see the death of a holder; "
                "build it with a C compiler, or leave the argument out"
            )
        super().__init__(SEMAPHORE, value, value if self._bounded else SEM_VALUE_MAX, ctx=ctx)

    def get_value(self) -> int:
        """How many acquires would succeed now.

        Raises:
            NotImplementedError: the platform's semaphores cannot tell (macOS).
        """
        return int(self._semlock._get_value())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self._value_text()})>"


class BoundedSemaphore(Semaphore):
    """A semaphore whose value may not exceed the one it started with: a release too many is a ValueError.

    Args:
        value: how many acquires succeed before one waits; at least 1.
        track_holders: refused here: only the native variant gives back a dead holder's permits.
        ctx: a context that tells the start method its children are started with.
    """

    __module__ = "procession_synchronize"

    _bounded = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self._value_text()}, maxvalue={self._semlock.maxvalue})>"
