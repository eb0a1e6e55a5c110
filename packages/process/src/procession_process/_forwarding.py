"""Records of children reach the parent's logging, in order.

One SOCK_SEQPACKET pair for all children: a record is one message, so records of many processes never mix, and
those of one process arrive in the order in which it made them. A thread of the parent hands them to the
loggers of the same names. ``join()`` waits until what the child wrote has been handed on.
"""

from __future__ import annotations

import os
import sys
from errno import EMSGSIZE

if sys.platform == "win32":
    raise ImportError("procession_process._forwarding needs POSIX")

from _socket import AF_UNIX, SO_SNDBUF, SOCK_SEQPACKET, SOL_SOCKET, socket, socketpair
from _thread import allocate_lock, get_ident, start_new_thread

from procession_core import (
    Finalize,
    current_transfer,
    default_reducer,
    default_send_fd,
    reset_after_fork,
    runtime,
)

from . import _hooks
from ._fds import SentFd
from ._preparation import register_extra, unregister_extra

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import LogRecord
    from typing import Any

_NAME = "procession.log"
_BUFFER = 1 << 20
_TEXT_LIMIT = 50_000
_SHORT_LIMIT = 4_000


class _Hub:
    """The parent's side."""

    def __init__(self, level: int) -> None:
        self.level = level
        self.reads, self.writes = socketpair(AF_UNIX, SOCK_SEQPACKET)
        self.writes.setsockopt(SOL_SOCKET, SO_SNDBUF, _BUFFER)
        self.pid = os.getpid()
        self.seen = allocate_lock()
        self.asking = allocate_lock()
        self.server = 0
        start_new_thread(self.serve, ())

    def serve(self) -> None:
        import logging

        self.server = get_ident()
        while True:
            try:
                data = self.reads.recv(_BUFFER)
            except OSError:
                return
            if not data:
                return
            if data == b"?":
                self.seen.release()
                continue
            try:
                record = logging.makeLogRecord(default_reducer.loads(data))
                logging.getLogger(record.name).handle(record)
            except BaseException:  # SystemExit too: join() waits for this thread
                sys.excepthook(*sys.exc_info())

    def flush(self) -> None:
        """Wait until all that was sent before has been handed on. Nothing to do for a handler that joins."""
        if os.getpid() != self.pid or get_ident() == self.server:
            return
        with self.asking:
            self.seen.acquire()
            self.writes.send(b"?")
            self.seen.acquire()
            self.seen.release()

    def close(self) -> None:
        self.writes.close()


_hub: _Hub | None = None


def log_to_parent(level: int | str = 0) -> None:
    """Send the log records of children that are started from now on to the logging of this process.

    Records of at least *level* made in a child, by whatever logger, are handled here by the logger of the
    same name, with the child's process name and id; the root handlers of the child, and all that a fork has copied,
    are not used there. ``join()`` returns after the records of the child that has ended were handled. What is too
    long for a message is cut; the records of a child that outlives this process are dropped. Calling it again changes
    the level.

    Raises ValueError for an unknown name of a level. Starts a thread, so that a later ``fork`` warns (Python
    3.12).
    """
    global _hub
    import logging

    number = level if isinstance(level, int) else logging.getLevelNamesMapping().get(level)
    if number is None:
        raise ValueError(
            f"unknown level {level!r}; allowed are numbers and {', '.join(logging.getLevelNamesMapping())}"
        )
    if _hub is not None and _hub.pid == os.getpid():
        _hub.level = number
        return
    _hub = _Hub(number)
    _hooks.after_join = _hub.flush
    register_extra(_NAME, f"{__name__}:attach", _ticket)
    reset_after_fork(_reset)
    Finalize(None, _end, exitpriority=-500)


def _send_fd(fd: int) -> Any:
    transfer = current_transfer()
    return default_send_fd(fd) if transfer is None else transfer.send_fd(fd)


def _ticket() -> tuple[SentFd, int] | None:
    return None if _hub is None else (_send_fd(_hub.writes.fileno()), _hub.level)


def _end() -> None:
    global _hub
    if _hub is not None:
        unregister_extra(_NAME)
        _hooks.after_join = None
        _hub.flush()
        _hub.close()
        _hub = None


def _reset() -> None:
    # In a fork: the hub is the parent's; this process writes to it. Its children do too, by the extra.
    global _hub
    if _hub is not None:
        fd = os.dup(_hub.writes.fileno())
        _hub.reads.close()
        _hub.writes.close()
        level, _hub = _hub.level, None
        _hooks.after_join = None
        _install(fd, level)


def attach(ticket: tuple[SentFd, int] | None) -> None:
    """In a child that is not a fork: install the handler."""
    if ticket is not None:
        _install(ticket[0].detach(), ticket[1])


def _install(fd: int, level: int) -> None:
    import logging

    sock = socket(fileno=fd)

    class Forwarder(logging.Handler):
        """Sends records to the parent."""

        def emit(self, record: LogRecord) -> None:
            try:
                send(sock, record)
            except (BrokenPipeError, ConnectionResetError):
                pass  # nobody is left to read it
            except Exception:
                self.handleError(record)

    root = logging.getLogger()
    root.handlers[:] = [Forwarder(level)]
    if not level or root.level > level:
        root.setLevel(level or 1)
    # Those that a fork has copied: the parent has them too, and calls them for this process's records.
    for logger in list(root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.handlers:
            logger.handlers[:] = [] if logger.propagate else root.handlers
    register_extra(_NAME, f"{__name__}:attach", lambda: (_send_fd(fd), level))


def send(sock: socket, record: LogRecord) -> None:
    """Send *record*; what cannot be pickled in it goes as text, and what is too long is cut. Raises OSError."""
    fields: dict[str, Any] = dict(record.__dict__)
    fields["msg"], fields["args"] = record.getMessage()[:_TEXT_LIMIT], None
    fields["processName"] = runtime.name
    if record.exc_info and not record.exc_text:
        import traceback

        fields["exc_text"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()[:_TEXT_LIMIT]
    fields["exc_info"] = None
    try:
        data = default_reducer.dumps(fields)
    except Exception:
        data = default_reducer.dumps({name: _plain(value) for name, value in fields.items()})
    try:
        sock.send(data)
    except OSError as error:
        if error.errno != EMSGSIZE:
            raise
        short = {name: _cut(_plain(value)) for name, value in fields.items()}
        sock.send(default_reducer.dumps(short))


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, int, float)) else repr(value)


def _cut(value: Any) -> Any:
    return value[:_SHORT_LIMIT] if isinstance(value, str) else value
