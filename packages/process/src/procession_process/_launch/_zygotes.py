"""The client's side of the fork server: start it, ask it, hear from it."""

from __future__ import annotations

import os
import sys

if sys.platform != "linux":
    raise ImportError("procession_process._launch._zygotes needs Linux")

from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair
from _thread import allocate_lock
from errno import EMFILE
from struct import pack, unpack

from procession_core import (
    deadline_after,
    default_reducer,
    info,
    remaining,
    reset_after_fork,
    runtime,
    transfer_scope,
)

from .. import _door, _preload
from .._messages import MAX_INLINE, receive, send
from .._waiting import wait_readable
from . import _boot
from ._payload import SpawnTransfer, as_file, common_fields, make_preparation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Slot = tuple[int, int] | None

_NO_SLOT = ((1 << 64) - 1, (1 << 64) - 1)
_SLICE = 0.02
_GONE = "the fork server is gone: it ended or was killed just now; start the process again, which starts a new one"


class Connection:
    """This process's connection with one zygote. Locks: ``asking`` for a whole request, ``_reading`` for a
    message.
    """

    def __init__(self, sock: socket, zygote: int | None) -> None:
        self.sock = sock
        self.zygote = zygote
        self.statuses: dict[int, int] = {}
        self.broken = False
        self.told: dict[str, Any] | None = None  # the fields of its own preparation that its children share
        self._answers: list[tuple[bytes, list[int]]] = []
        self._last_pid = 0  # of the child that the zygote told us of
        self._reading = allocate_lock()

    def __del__(self) -> None:
        self.sock.close()  # at exit; a socket that is merely dropped warns under -W error

    def ask(self, fds: list[int], slot: Slot, payload: bytes) -> tuple[int, int]:
        """Have a child forked; return its pid and a pidfd. *payload*: empty if it is the last of *fds*.

        Raises EOFError if the zygote is gone (nothing was started then), OSError if it could not fork,
        ImportError if a module could not be preloaded and was to be.
        """
        room = os.dup(self.sock.fileno())  # for the pidfd: if there is none, nothing is begun
        try:
            send(self.sock.fileno(), b"F" + pack("<QQ", *(slot or _NO_SLOT)) + payload, fds)
        except OSError:
            self.fail()
            raise EOFError(_GONE) from None
        finally:
            os.close(room)
        while True:
            while self._answers:
                message, received = self._answers.pop(0)
                if message[:1] in b"PQ":
                    pid = unpack("<I", message[1:5])[0]
                    if message[:1] == b"Q" and pid == self._last_pid:
                        for fd in received:
                            os.close(fd)  # the zygote had told us before it was killed
                        continue
                    self._last_pid = pid
                    if received:
                        return pid, received[0]
                    os.kill(pid, 9)  # another thread has taken the room
                    raise OSError(EMFILE, os.strerror(EMFILE))
                if message[:1] == b"E":
                    code = unpack("<I", message[1:5])[0]
                    raise OSError(code, os.strerror(code))
                self._take_report(message[1:])
            if self.broken:
                raise EOFError(_GONE)
            wait_readable((self.sock.fileno(),), _SLICE)  # another thread may take the answer in between
            self.drain()

    def drain(self) -> None:
        """Take all messages that are there, without blocking."""
        with self._reading:
            while not self.broken:
                try:
                    message, fds = receive(self.sock.fileno())
                except BlockingIOError:
                    return
                except ConnectionResetError:
                    continue  # told once, by a zygote that ended with a request unread; what it has sent comes after it
                except OSError:
                    message, fds = b"", None
                if message[:1] == b"S":
                    pid, status = unpack("<II", message[1:9])
                    self.statuses[pid] = status
                elif message:
                    self._answers.append((message, fds or []))
                else:
                    self.fail()

    def wait_for(
        self, pid: int, sentinel: int, timeout: float | None, collected: Callable[[], bool] | None = None
    ) -> bool:
        """Block until the status of *pid* is there, or can never come because the zygote and the child are
        gone. *collected* says whether another thread has taken the status meanwhile.
        """
        deadline = deadline_after(timeout)
        while True:
            self.drain()
            if pid in self.statuses or (collected is not None and collected()):
                return True
            if self.broken:
                return bool(wait_readable((sentinel,), remaining(deadline)))
            # Another thread may take the message between the look and the wait: then the sentinel tells.
            ready = wait_readable((self.sock.fileno(), sentinel), remaining(deadline))
            if not ready:
                self.drain()
                return pid in self.statuses
            if ready == [sentinel]:
                wait_readable((self.sock.fileno(),), _SLICE)

    def fail(self) -> None:
        """The zygote is gone. Its children live on; their statuses are lost."""
        self.broken = True

    def bury(self) -> None:
        """Close what is left of a broken connection, and collect the zygote if it is a child of this
        process.
        """
        self.broken = True
        self.sock.close()
        for _, received in self._answers:
            for fd in received:
                os.close(fd)
        self._answers.clear()
        if self.zygote is not None:
            try:
                os.kill(self.zygote, 9)
                os.waitpid(self.zygote, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            self.zygote = None

    def _take_report(self, data: bytes) -> None:
        _preload.report[:] = default_reducer.loads(data)
        failed = ", ".join(name for name, _ in _preload.report)
        if not failed:
            return
        text = f"the fork server could not preload {failed}:\n{_preload.report[0][1]}"
        if _preload.on_error_wish == "fail":
            self.fail()
            raise ImportError(text, name=_preload.report[0][0])
        if _preload.on_error_wish == "warn":
            import warnings

            warnings.warn(text, ImportWarning, stacklevel=2)


_connection: Connection | None = None


class OtherServerError(Exception):
    """The fork server that a payload was made for is no more: make it anew."""


def current() -> Connection | None:
    """Return the connection with the fork server that runs, as far as is known."""
    connection = _connection
    return None if connection is None or connection.broken else connection


def fork_one(
    fds: list[int], slot: Slot, payload: bytes, expected: Connection | None
) -> tuple[int, int, Connection]:
    """Have a child forked by the fork server, which is started, or started again, if need be.

    Return pid, pidfd and the connection that will tell the status. Raises OSError, ImportError as
    ``set_forkserver_preload()`` says, EOFError if a new fork server ends at once too, OtherServerError if it is not the
    *expected* one.
    """
    with _boot.asking:
        for attempt in (1, 2):
            connection = _running()
            if expected is not None and connection is not expected:
                raise OtherServerError
            try:
                pid, pidfd = connection.ask(fds, slot, payload)
            except EOFError:
                info("the fork server is gone")
                if attempt == 2:
                    raise
            else:
                return pid, pidfd, connection
    raise EOFError(_GONE)


def ensure_running() -> None:
    """Start the fork server unless it runs. Raises OSError."""
    with _boot.asking:
        _running().drain()


def _running() -> Connection:
    global _connection
    if _connection is None or _connection.broken:
        if _connection is not None:
            _connection.bury()
            _connection = None
        _connection = _connect() or _start_zygote()
    return _connection


def _reset() -> None:
    global _connection
    if _connection is not None:
        _connection.broken = True
        _connection.zygote = None
        _connection.sock.close()
        _connection = None


reset_after_fork(_reset)


def _connect() -> Connection | None:
    """Reach the fork server of the tree by its door; None if there is none or it is gone."""
    if _door.door < 0:
        return None
    mine, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    try:
        send(_door.door, b"C", [theirs.fileno()])
    except OSError:
        os.close(_door.door)
        _door.door = -1
        mine.close()
        return None
    finally:
        theirs.close()
    return _connection_on(mine, None)


def _connection_on(sock: socket, zygote: int | None) -> Connection:
    sock.setblocking(False)
    return Connection(sock, zygote)


def _start_zygote() -> Connection:
    boot = _boot.take()
    connection = _connection_on(boot.sock, boot.pid)
    transfer = SpawnTransfer(boot.slot)
    try:
        message = _order(transfer, connection)
        try:
            send(boot.sock.fileno(), message, transfer.fds)
        except OSError:
            connection.fail()  # it was killed
    except BaseException:
        connection.bury()
        boot.door.close()
        raise
    finally:
        transfer.close()
    _door.door = boot.door.detach()
    return connection


def _order(transfer: SpawnTransfer, connection: Connection) -> bytes:
    """Return the message that tells a new fork server what it is to be."""
    process = _ZygoteAsProcess()
    with transfer_scope(transfer):
        connection.told = common_fields(process)
        first = default_reducer.dumps(make_preparation(transfer, process, "spawn", connection.told))
    # What this library has loaded here, children will need: it has no effects when it is imported. Not the launchers:
    # few children start others, and each child pays for the pages of all that is loaded.
    own = [name for name in sys.modules if name.startswith("procession") and "._launch" not in name]
    second = default_reducer.dumps((own, _preload.modules, _preload.on_error_wish))
    data = b"".join((len(first).to_bytes(8, "little"), first, second))
    if len(data) > MAX_INLINE:
        transfer.fds.append(as_file(data))
        data = b""
    return b"B" + data


class _ZygoteAsProcess:
    name = "forkserver"
    daemon = False

    def __init__(self) -> None:
        self._parent_name = runtime.name
        self.authkey: Any = runtime.authkey
