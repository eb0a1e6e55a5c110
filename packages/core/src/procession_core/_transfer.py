"""Where the pickle that is being made is going to.

An object that is more than its bytes (a lock in the arena, a descriptor) must know, while it is pickled, what
will carry it: the start of a child, a queue's message, a frame of a connection. The container says so by
entering a scope; the objects ask ``current_transfer()``. Scopes nest and belong to one thread.
"""

from __future__ import annotations

from _thread import _local, get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Protocol as _Base
else:
    _Base = object


class Transfer(_Base):
    """What a container offers to the objects that are pickled into it."""

    spawning: bool
    """True while a child's start arguments are pickled."""

    def hold(self, shared: object) -> None:
        """Let the container take a reference of its own on an arena object that the pickle names."""

    def send_fd(self, fd: int) -> object:
        """Return a picklable token for *fd*; the receiver calls ``token.detach()`` for a descriptor of its
        own.
        """


class _Stack(_local):
    def __init__(self) -> None:
        self.scopes: list[Transfer] = []


_stack = _Stack()
scope_stack = _stack
"""Its ``scopes`` is the list of this thread's scopes, for the C core; all others use ``transfer_scope()``."""


def current_transfer() -> Transfer | None:
    """Return the innermost transfer scope of this thread, or None outside of all."""
    scopes = _stack.scopes
    return scopes[-1] if scopes else None


def transfer_scopes() -> list[Transfer]:
    """Return this thread's stack of scopes itself, for containers that push and pop once for each message."""
    return _stack.scopes


class transfer_scope:
    """Context manager: what this thread pickles inside goes into *transfer*."""

    __slots__ = ("_scopes", "_transfer")

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer

    def __enter__(self) -> Transfer:
        self._scopes = _stack.scopes
        self._scopes.append(self._transfer)
        return self._transfer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scopes.pop()


_fd_sharer: Callable[[int], object] | None = None


def set_fd_sharer(sharer: Callable[[int], object] | None) -> None:
    """Register what makes tokens for descriptors where the container itself cannot carry them."""
    global _fd_sharer
    _fd_sharer = sharer


fd_recorders: dict[int, list[object]] = {}
"""Thread → list that gets every token which that thread makes.

For containers that may drop a message unread, as a pool that takes tasks back: what was shared for it has to be
withdrawn (``token.withdraw()``), or the descriptor stays open for nobody.
"""


def default_send_fd(fd: int) -> object:
    """Return a picklable token for *fd* made by the registered sharer.

    Raises RuntimeError where none is registered (``procession_connection`` registers one when it is
    imported).
    """
    if _fd_sharer is None:
        raise RuntimeError(
            f"descriptor {fd} cannot be sent: nothing is registered to share descriptors; "
            "import procession_connection"
        )
    token = _fd_sharer(fd)
    recorder = fd_recorders.get(get_ident())
    if recorder is not None:
        recorder.append(token)
    return token
