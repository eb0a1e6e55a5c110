"""The sharing thread: gives descriptors to processes that ask for them later.

Where a pickle is not carried by something that can carry descriptors itself (a queue's message, a one-way
pipe, a task of a pool), it names an address and a number; whoever unpickles it asks there. The protocol is that
of CPython's ``resource_sharer``.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock, start_new_thread

from procession_core import (
    PeerDiedError,
    ProcessError,
    at_exit,
    current_transfer,
    reset_after_fork,
    runtime,
    set_fd_sharer,
    sub_warning,
)

from ._address import default_family
from ._client import Client
from ._descriptors import give_handle, take_handle
from ._listener import Listener
from ._names import wire_reducer
from ._parcels import send_beside

if sys.platform == "win32":
    from ._framing_windows import close
    from ._handles_windows import duplicate
else:
    close = os.close
    duplicate = os.dup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ASK_SECONDS = 5.0


class DupFd:
    """A picklable token for a duplicate of the descriptor *fd*, which waits in this process to be fetched.

    Raises OSError if *fd* is not open.
    """

    def __init__(self, fd: int) -> None:
        self._id: tuple[Any, int] = _sharer.add(duplicate(fd))

    def withdraw(self) -> None:
        """In the process that made it: stop sharing the descriptor if nobody has fetched it."""
        _sharer.withdraw(self._id[1])

    def detach(self) -> int:
        """Fetch the descriptor; the caller owns it. Once only. Blocks until the sharing process has answered.

        Raises PeerDiedError if that process is gone, or no longer has it.
        """
        address, number = self._id
        try:
            with Client(address, authkey=runtime.authkey) as connection:
                connection.send((number, os.getpid()))
                return take_handle(connection)
        except (FileNotFoundError, ConnectionError, EOFError) as error:
            raise PeerDiedError(
                f"descriptor {number} of {address!r} cannot be fetched: the process that sent it is gone, or it was "
                "fetched before; keep the sender alive until its message has been read"
            ) from error


class _Sharer:
    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._fds: dict[int, int] = {}
        self._numbers = 0
        self._listener: Listener | None = None
        self._key = b""
        self._gone: Any = None

    def add(self, fd: int) -> tuple[Any, int]:
        with self._lock:
            listener = self._listener
            if listener is None:
                key = runtime.authkey
                listener = self._listener = Listener(family=default_family, backlog=128, authkey=key)
                self._key = key
                gone = self._gone = allocate_lock()
                gone.acquire()
                start_new_thread(self._serve, (listener, gone))
                at_exit(self.stop, 0)
            self._numbers += 1
            self._fds[self._numbers] = fd
            return listener.address, self._numbers

    def withdraw(self, number: int) -> None:
        with self._lock:
            fd = self._fds.pop(number, -1)
        if fd >= 0:
            close(fd)

    def _serve(self, listener: Listener, gone: Any) -> None:
        # Signals belong to the threads of the program.
        if sys.platform != "win32":
            import signal

            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            while True:
                try:
                    with listener.accept() as connection:
                        if not connection.poll(_ASK_SECONDS):
                            continue
                        number, pid = connection.recv()
                        if number is None:
                            return
                        with self._lock:
                            fd = self._fds.pop(number, -1)
                        if fd >= 0:
                            try:
                                give_handle(connection, fd, _ASK_SECONDS, pid)
                            finally:
                                close(fd)
                except (EOFError, OSError, ProcessError) as error:
                    if listener._socket is None:
                        return
                    sub_warning("descriptor sharing thread: %r", error)
                except Exception as error:
                    sub_warning("descriptor sharing thread got nonsense: %r", error)
        finally:
            gone.release()

    def stop(self, timeout: float | None = None) -> None:
        with self._lock:
            listener, self._listener = self._listener, None
            fds, self._fds = self._fds, {}
            key = self._key
        if listener is None:
            return
        try:
            # The program may have set another key since, with which the thread would never hear of its end.
            with Client(listener.address, authkey=key, timeout=5.0) as connection:
                connection.send((None, os.getpid()))
            self._gone.acquire(True, -1 if timeout is None else timeout)
        except (OSError, EOFError, ProcessError):
            pass
        listener.close()
        for fd in fds.values():
            close(fd)

    def after_fork(self) -> None:
        self._lock = allocate_lock()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for fd in self._fds.values():
            close(fd)
        self._fds = {}


_sharer = _Sharer()
reset_after_fork(_sharer.after_fork)


def _share(fd: int) -> Any:
    return send_beside(fd) or DupFd(fd)


set_fd_sharer(_share)
wire_reducer.map(DupFd, "multiprocessing.resource_sharer", "DupFd")


def stop_sharing(timeout: float | None = None) -> None:
    """End the sharing thread and drop the descriptors that nobody has fetched.

    Blocks until it has ended, at most *timeout* seconds (None for ever).
    """
    _sharer.stop(timeout)


def token_for(fd: int) -> Any:
    """Return a picklable token for *fd*, made by what carries the pickle that is being made."""
    transfer = current_transfer()
    return DupFd(fd) if transfer is None else transfer.send_fd(fd)
