"""The portable building block: a kernel semaphore that children of a start method can open.

It stands on ``_multiprocessing.SemLock``, which CPython and PyPy ship.  A semaphore made for fork is
unlinked before its constructor returns, so nothing can leak; for spawn and forkserver the name must stay
until the children have opened it, and is unlinked by a finalizer.  A SIGKILL of the whole tree leaves such
a name behind: the native variant has no names at all.
"""

from __future__ import annotations

import os
import sys
import threading
from _multiprocessing import SemLock as _SemLock  # type: ignore[import-not-found]
from weakref import ref

from procession_core import Finalize, InheritanceError, current_transfer, reset_after_fork, runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

try:
    from _multiprocessing import sem_unlink as _sem_unlink
except ImportError:  # Windows: semaphores are handles there and have no names
    _sem_unlink = None

RECURSIVE_MUTEX = 0
SEMAPHORE = 1
SEM_VALUE_MAX: int = _SemLock.SEM_VALUE_MAX


def start_method_of(ctx: Any) -> str:
    """The start method that an object made for ``ctx`` has to serve; never fixes the global one."""
    if ctx is not None:
        ask = getattr(ctx, "get_start_method", None)
        if ask is not None:
            try:
                method = ask(allow_none=True)
            except TypeError:
                method = ask()
            if method is not None:
                return str(method)
    if runtime.default_method is not None:
        return runtime.default_method
    if runtime.start_method is not None:
        return runtime.start_method
    if sys.platform in ("win32", "darwin"):
        return "spawn"
    return "forkserver" if sys.version_info >= (3, 14) else "fork"


def require_spawning(obj: object) -> Any:
    """Return the transfer that a child's start arguments are pickled for.

    Raises:
        InheritanceError: there is none, so that the object cannot be sent.
    """
    transfer = current_transfer()
    if transfer is None or not transfer.spawning:
        raise InheritanceError(
            f"{type(obj).__name__} objects should only be shared between processes through inheritance; "
            "pass it to the Process when it is started, or build the native core, whose objects go anywhere"
        )
    return transfer


def _unlink(name: str) -> None:
    try:
        _sem_unlink(name)
    except FileNotFoundError:
        pass


_locks: dict[int, ref[SemLock]] = {}


def _after_fork() -> None:
    # The count of a recursive lock belongs to the parent's thread. Kept, it would make the child's first release
    # one of two, after which nobody could acquire; os.fork() has to be noticed too.
    for reference in list(_locks.values()):
        lock = reference()
        if lock is not None:
            lock._semlock._after_fork()


reset_after_fork(_after_fork)


class SemLock:
    """What Lock, RLock and the semaphores of the portable variant have in common.

    Args:
        kind: 0 for a recursive mutex, 1 for a semaphore.
        value: the value it starts with.
        maxvalue: the value it may not exceed.
        ctx: a context that tells the start method its children are started with.

    Raises:
        ValueError: the value is negative or above the platform's maximum.
        TypeError: the value is not an integer.
        OSError: the platform has no working semaphores, or too many are open.
    """

    __module__ = "procession_synchronize"

    def __init__(self, kind: int, value: int, maxvalue: int, *, ctx: Any = None) -> None:
        if not 0 <= value <= SEM_VALUE_MAX:
            raise ValueError(f"the value of a semaphore must be from 0 to {SEM_VALUE_MAX}, not {value!r}")
        unlink_now = sys.platform == "win32" or start_method_of(ctx) == "fork"
        while True:
            try:
                self._semlock = _SemLock(kind, value, maxvalue, self._make_name(), unlink_now)
            except FileExistsError:
                continue
            break
        self._is_fork_ctx = unlink_now and sys.platform != "win32"
        self._bind()
        if self._semlock.name is not None and not unlink_now:
            Finalize(self, _unlink, (self._semlock.name,), exitpriority=0)

    @staticmethod
    def _make_name() -> str:
        """A name that no other process chooses."""
        return f"/psem-{os.getpid():x}-{os.urandom(5).hex()}"

    def _bind(self) -> None:
        # Instance attributes: a method of the class would cost a second call at each acquire.
        self.acquire = self._semlock.acquire
        self.release = self._semlock.release
        if sys.platform != "win32":
            key = id(self)
            _locks[key] = ref(self, lambda _: _locks.pop(key, None))

    def locked(self) -> bool:
        """Whether an acquire would have to wait."""
        return bool(self._semlock._is_zero())

    def __enter__(self) -> bool:
        return bool(self._semlock.__enter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._semlock.__exit__(kind, error, traceback)

    def __getstate__(self) -> tuple[Any, ...]:
        transfer = require_spawning(self)
        semlock = self._semlock
        if sys.platform == "win32":
            handle = transfer.send_fd(semlock.handle)
        elif self._is_fork_ctx:
            raise RuntimeError(
                "A SemLock created in a fork context is being shared with a process in a spawn context. "
                "This is not supported. Please use the same context to create multiprocessing objects "
                "and Process."
            )
        else:
            handle = semlock.handle
        return (handle, semlock.kind, semlock.maxvalue, semlock.name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        handle, kind, maxvalue, name = state
        if sys.platform == "win32":
            handle = handle.detach()
        self._semlock = _SemLock._rebuild(handle, kind, maxvalue, name)
        self._is_fork_ctx = False
        self._bind()

    def _owner_name(self) -> str:
        """Who holds it, as far as this process can know."""
        try:
            if self._semlock._is_mine():
                name = runtime.name
                thread = threading.current_thread().name
                return name if thread == "MainThread" else f"{name}|{thread}"
            if not self._semlock._is_zero():
                return "None"
            return "SomeOtherThread" if self._semlock._count() > 0 else "SomeOtherProcess"
        except Exception:  # a repr never raises
            return "unknown"

    def _value_text(self) -> str:
        try:
            return str(self._semlock._get_value())
        except Exception:  # the platform cannot tell
            return "unknown"
