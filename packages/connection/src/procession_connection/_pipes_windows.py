"""AF_PIPE: a listener's instances of a named pipe of Windows, and the way to one of them.

A client is connected to one instance of the pipe, so there is always one more that waits for the next. Many clients may
be in the middle of their handshake at once: each has one overlapped read or write, and nobody waits for a single one.
"""

from __future__ import annotations

import sys

if sys.platform != "win32":
    raise ImportError("procession_connection._pipes_windows needs Windows")

import _winapi
from time import monotonic

from procession_core import TimeoutError, debug  # noqa: A004 - the documented name

from ._connection_windows import PipeConnection, over_pipe
from ._handshake import accepting, connecting
from ._kinds import MARKED, WIRE
from ._messages_windows import ERROR_MORE_DATA, ERROR_NO_DATA, ERROR_OPERATION_ABORTED, is_gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._handshake import Handshake

_BUFFER = 65536
_WAIT_TIMEOUT = 258
_ERROR_SEM_TIMEOUT = 121
_ERROR_PIPE_BUSY = 231
_IDENTIFY_ONLY = 0x00100000 | 0x00010000
"""SECURITY_SQOS_PRESENT and SECURITY_IDENTIFICATION: whoever listens may learn who connects, and not act as them."""
_SLICE = 200
"""The milliseconds of one wait for a free instance, which Ctrl-C does not end."""
_MOST_BUSY = 20.0
"""The seconds to wait for a free instance, if nothing else is said: those of a listener that is closed may live on."""
_MOST_PENDING = 60
"""One wait takes 64 events at most."""
_LONGEST = 1 << 30


def _is_set(event: int) -> bool:
    return _winapi.WaitForSingleObject(event, 0) != _WAIT_TIMEOUT


def _milliseconds(deadline: float | None) -> int:
    if deadline is None:
        return _winapi.INFINITE
    return min(max(0, int((deadline - monotonic()) * 1000) + 1), _LONGEST)


class Talk:
    """A peer on a pipe that has not proved anything yet. Nothing it does blocks the others.

    The handle belongs to it until ``detach()``.
    """

    __slots__ = ("_handle", "_handshake", "_operation", "_step", "deadline", "marked")

    def __init__(self, handle: int, handshake: Handshake, deadline: float | None) -> None:
        self._handle = handle
        self._handshake = handshake
        self._operation: Any = None
        self._step: bytes | int = b""
        self.deadline = deadline
        self.marked = False

    @property
    def event(self) -> int:
        """What is set when ``advance()`` can go on."""
        return int(self._operation.event)

    def detach(self) -> int:
        """Return the handle; the caller owns it from now on."""
        handle = self._handle
        self._handle = -1
        return handle

    def close(self) -> None:
        """Drop the peer."""
        if self._handle >= 0:
            self._operation = None
            _winapi.CloseHandle(self.detach())

    def advance(self) -> bool:
        """Go on as far as possible without blocking; True when through.

        Raises AuthenticationError for a wrong answer, EOFError, OSError.
        """
        try:
            if self._operation is None:
                self._begin(next(self._handshake))
            while _is_set(self._operation.event):
                operation = self._operation
                count, error = operation.GetOverlappedResult(True)
                if error == ERROR_OPERATION_ABORTED:  # the thread that began it has ended
                    self._begin(self._step)
                elif error == ERROR_MORE_DATA:
                    raise OSError(f"bad message length in the handshake: at most {self._step!r} is allowed")
                elif isinstance(self._step, int):
                    self._begin(self._handshake.send(bytes(operation.getbuffer()[:count])))
                else:
                    self._begin(next(self._handshake))
        except StopIteration as stop:
            self.marked = bool(stop.value)
            return True
        except OSError as error:
            if is_gone(error):
                raise EOFError("the other side closed the connection during the handshake") from None
            raise
        return False

    def _begin(self, step: bytes | int) -> None:
        # A read takes one message at most, so nothing that follows the handshake is lost.
        self._step = step
        if isinstance(step, int):
            self._operation, _ = _winapi.ReadFile(self._handle, step, overlapped=True)
        else:
            self._operation, _ = _winapi.WriteFile(self._handle, step, overlapped=True)


# ---- the client's side -------------------------------------------------------------------------------------


def connect(
    address: str, key: bytes | None, unpickler: Callable[..., Any] | None, seconds: float | None
) -> PipeConnection:
    """Connect to the listener at *address*, proving *key* if there is one, within *seconds* (None for ever).

    Raises as ``Client()``.
    """
    deadline = None if seconds is None else monotonic() + max(seconds, 0.0)
    try:
        handle = _open(address, deadline)
    except TimeoutError:
        raise
    except OSError as error:
        if error.filename is None:
            error.filename = address
        error.add_note(
            "nobody could be reached there: give the address of a listener that is running, its `address`"
        )
        raise
    if key is None:
        return over_pipe(handle, WIRE, unpickler=unpickler)
    talk = Talk(handle, connecting(key), deadline)
    try:
        while not talk.advance():
            if deadline is not None and monotonic() >= deadline:
                raise TimeoutError(f"no answer from the listener at {address!r} in time")
            _winapi.WaitForMultipleObjects([talk.event], False, _milliseconds(deadline))
    except BaseException:
        talk.close()
        raise
    return over_pipe(talk.detach(), MARKED if talk.marked else WIRE, unpickler=unpickler)


def _open(address: str, deadline: float | None) -> int:
    if deadline is None:
        deadline = monotonic() + _MOST_BUSY
    while True:
        try:
            _winapi.WaitNamedPipe(address, min(_SLICE, _milliseconds(deadline)))
            handle = _winapi.CreateFile(
                address,
                _winapi.GENERIC_READ | _winapi.GENERIC_WRITE,
                0,
                _winapi.NULL,
                _winapi.OPEN_EXISTING,
                _winapi.FILE_FLAG_OVERLAPPED | _IDENTIFY_ONLY,
                _winapi.NULL,
            )
        except OSError as error:
            # Every instance has its client, and the listener has not made the next one yet.
            if error.winerror not in (_ERROR_SEM_TIMEOUT, _ERROR_PIPE_BUSY):
                raise
            if monotonic() >= deadline:
                raise TimeoutError(
                    f"no connection to {address!r} in time: its listener accepts nobody"
                ) from None
            continue
        try:
            _winapi.SetNamedPipeHandleState(handle, _winapi.PIPE_READMODE_MESSAGE, None, None)
        except BaseException:
            _winapi.CloseHandle(handle)
            raise
        return int(handle)


# ---- the listener's side -----------------------------------------------------------------------------------


class PipeListener:
    """What a Listener has in place of a socket.

    Raises PermissionError if another process listens at *address*, OSError if it is no pipe's name.
    """

    def __init__(
        self, address: str, key: bytes | None, unpickler: Callable[..., Any] | None, timeout: float | None
    ) -> None:
        self._address = address
        self._key = key
        self._unpickler = unpickler
        self._timeout = timeout
        self._pending: list[Talk] = []
        self._closed = False
        self._left = 0.0
        self._knock: Any = None
        try:
            self._instance = self._create(_winapi.FILE_FLAG_FIRST_PIPE_INSTANCE)
        except OSError as error:
            if error.filename is None:
                error.filename = address
            error.add_note("a listener needs the name of a pipe that nobody has; None takes an arbitrary one")
            raise
        self._wait_for_next()

    def _create(self, flags: int) -> int:
        return int(
            _winapi.CreateNamedPipe(
                self._address,
                _winapi.PIPE_ACCESS_DUPLEX | _winapi.FILE_FLAG_OVERLAPPED | flags,
                _winapi.PIPE_TYPE_MESSAGE | _winapi.PIPE_READMODE_MESSAGE | _winapi.PIPE_WAIT,
                _winapi.PIPE_UNLIMITED_INSTANCES,
                _BUFFER,
                _BUFFER,
                0,
                _winapi.NULL,
            )
        )

    def _wait_for_next(self) -> None:
        try:
            self._knock = _winapi.ConnectNamedPipe(self._instance, overlapped=True)
        except OSError as error:
            if error.winerror != ERROR_NO_DATA:
                raise
            self._knock = None  # one has come and gone; what it has sent can still be received

    def fileno(self) -> int:
        """Return the handle of an event that is set when a client knocks. Another one after each accept."""
        if self._knock is None:
            self._take()  # the one that has gone again; accept() would find nothing of it, either
        return int(self._knock.event)

    def _knocked(self) -> bool:
        if self._knock is None:
            return True
        if not _is_set(self._knock.event):
            return False
        try:
            _, error = self._knock.GetOverlappedResult(True)
        except OSError as failure:
            if self._closed:
                return False
            if failure.winerror == ERROR_NO_DATA:
                return True
            raise
        if error == ERROR_OPERATION_ABORTED and not self._closed:
            self._wait_for_next()  # the thread that began it has ended
            return False
        return not self._closed

    def _take(self) -> int:
        # The name must not be free for a moment, or somebody else could listen there.
        following = self._create(0)
        handle, self._instance = self._instance, following
        self._wait_for_next()
        return handle

    def accept(self) -> PipeConnection:
        """Wait for a client that is through. Raises as ``Listener.accept()``."""
        self._resume()
        try:
            while True:
                connection = self._step()
                if connection is not None:
                    return connection
                events = [talk.event for talk in self._pending]
                if self._knock is not None:
                    events.append(self._knock.event)
                    deadlines = [talk.deadline for talk in self._pending if talk.deadline is not None]
                    _winapi.WaitForMultipleObjects(events, False, _milliseconds(min(deadlines, default=None)))
        finally:
            self._left = monotonic()

    def _resume(self) -> None:
        # A client is not to blame for the time in which nobody called accept().
        if self._left:
            away = monotonic() - self._left
            for talk in self._pending:
                if talk.deadline is not None:
                    talk.deadline += away

    def _step(self) -> PipeConnection | None:
        if self._closed:
            raise OSError("listener is closed: close() was called on it; make a new one")
        if self._knocked():
            handle = self._take()
            if self._key is None:
                return over_pipe(handle, WIRE, unpickler=self._unpickler)
            if len(self._pending) >= _MOST_PENDING:
                # Honest clients are through in milliseconds, so the oldest one is the least honest.
                self._pending.pop(0).close()
            deadline = None if self._timeout is None else monotonic() + self._timeout
            self._pending.append(Talk(handle, accepting(self._key), deadline))
        for talk in list(self._pending):
            if self._advance(talk):
                return over_pipe(talk.detach(), MARKED if talk.marked else WIRE, unpickler=self._unpickler)
        return None

    def _advance(self, talk: Talk) -> bool:
        """Return whether *talk* is through; forget it if it is or never will be."""
        try:
            through = talk.advance()
        except (EOFError, OSError) as error:
            debug("listener %r drops a client during the handshake: %r", self._address, error)
        except BaseException:
            self._drop(talk)
            raise
        else:
            if through:
                self._pending.remove(talk)
                return True
            if talk.deadline is None or talk.deadline > monotonic():
                return False
            debug("listener %r drops a client that has not authenticated itself in time", self._address)
        self._drop(talk)
        return False

    def _drop(self, talk: Talk) -> None:
        self._pending.remove(talk)
        talk.close()

    def close(self) -> None:
        """Close the instance that waits and drop the clients that have not been accepted."""
        if not self._closed:
            self._closed = True
            knock = self._knock
            if knock is not None:
                knock.cancel()
                try:
                    knock.GetOverlappedResult(True)
                except OSError:
                    pass  # a client that has gone again
            _winapi.CloseHandle(self._instance)
            for talk in self._pending:
                talk.close()
            self._pending.clear()
