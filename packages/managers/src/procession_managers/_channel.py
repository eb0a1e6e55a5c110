"""Channels: one connection to a server, through which requests go and answers come."""

from __future__ import annotations

from _thread import allocate_lock

try:
    from _queue import Empty  # without `queue`, which imports threading and types
except ImportError:  # PyPy
    from queue import Empty

from procession_connection import wire_reducer
from procession_core import default_reducer, transfer_scope

from ._errors import RemoteError, RemoteTraceback
from ._lane import CALLS_BEFORE, LOOK_SECONDS, make_queue, open_queue
from ._protocol import (
    ERROR,
    ERROR_TRACED,
    FALSE,
    GRANTS,
    NOTHING,
    PROTOCOL,
    RETURN,
    SCALARS,
    TRACEBACK,
    TRUE,
    UNSERIALIZABLE,
)
from ._serving import serving
from ._transit import ManagerTransfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from typing import Any

    from ._link import Link
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

MARKED = 3
"""The link value of a connection whose other side has said that it runs this library."""


def raise_answer(kind: str, value: Any) -> Any:
    """Raise what the server answered instead of a value.

    Neither this function's frame nor its callers' may refer to the error that they raise: it refers to them
    through its traceback, and such a cycle would keep all their variables alive until the next collection.
    """
    if kind == ERROR:
        if isinstance(value, BaseException):
            try:
                raise value
            finally:
                del value
        raise RemoteError(f"the server sent {value!r} as an error\n")
    if kind == ERROR_TRACED:
        error, text = value
        del value
        error.__cause__ = RemoteTraceback(text)
        try:
            raise error
        finally:
            del error
    if kind == TRACEBACK:
        raise RemoteError(value)
    if kind == UNSERIALIZABLE:
        raise RemoteError(f"Unserializable message: {value}\n")
    raise ValueError(
        f"Unrecognized message type {kind!r} in an answer; does a manager's server listen at that address?"
    )


class Channel:
    """One connection to a server, used by one thread at a time; notes may be sent by any."""

    __slots__ = (
        "_ahead",
        "_answers",
        "_ask",
        "_busy",
        "_classic",
        "_connection",
        "_dumps",
        "_handle",
        "_key",
        "_kind",
        "_link",
        "_loads",
        "_receive",
        "_requests",
        "_send",
        "_sending",
        "_transfer",
        "marked",
    )

    def __init__(self, link: Link, connection: Any) -> None:
        self._link = link
        self._connection = connection
        self._handle: int = connection.fileno()
        self.marked = getattr(connection, "_link", 0) == MARKED
        self._classic = not self.marked
        self._transfer = ManagerTransfer(link.address, self._classic)
        self._sending = allocate_lock()
        # From a request to its answer. Whoever calls then is a signal handler of this thread.
        self._busy = False
        self._ahead = CALLS_BEFORE if self.marked else -1
        self._key = b""
        self._requests: Any = None
        self._answers: Any = None
        self._ask: Any = None
        self._send: Any = None
        if link.serializer != "xmlrpclib":
            self._kind = connection._kind_now()
            self._send = connection._send
            self._receive = connection._recv
            self._dumps = default_reducer.dumps if self.marked else wire_reducer.dumps
            self._loads = connection._unpickler or (_pickle.loads if self.marked else wire_reducer.loads)

    @property
    def connection(self) -> Any:
        """The connection, None when closed."""
        return self._connection

    @property
    def usable(self) -> bool:
        """Whether the connection is open."""
        return self._connection is not None

    def call(self, ident: str | None, name: str, args: Any, kwds: Any) -> Any:
        """Make a request and return ``(kind, value)``. Blocks until the answer has come.

        Raises ServerDiedError when the connection is lost, and what pickling raises; then nothing was sent.
        """
        if self._busy:
            return self._link.call_aside(ident, name, args, kwds)
        if self._ask is not None:
            return self._call_in_lane(self.encode(ident, name, args, kwds))
        if self._connection is None:  # closed by another thread
            return self._link.channel().call(ident, name, args, kwds)
        if self._send is None:
            return self._call_plain(ident, name, args, kwds)
        data = self.encode(ident, name, args, kwds)
        if self._ahead >= 0:
            self._ahead -= 1
            if not self._ahead:
                self._open_lane()
                if self._ask is not None:
                    return self._call_in_lane(data)
        sent = False
        self._busy = True
        try:
            with self._sending:
                self._send(self._handle, self._kind, data)
            sent = True
            data = self._receive(self._handle, self._kind, -1)
        except (EOFError, OSError) as error:
            self.close()
            raise self._link.lost(error) from error
        except BaseException:
            # The answer will come when nobody waits for it.
            self._link.retire(self, cancel=sent)
            raise
        finally:
            self._busy = False
        return self.decode(data)

    def _call_in_lane(self, data: bytes) -> Any:
        self._busy = True
        try:
            try:
                answer = self._ask(self._requests, data, self._key, LOOK_SECONDS)
            except (Empty, RuntimeError) as error:
                if error.args:  # else the core's own, which procession_queues has not bound to queue.Empty
                    raise
                answer = self._wait_in_lane()
        except (EOFError, OSError) as error:
            self.close()
            raise self._link.lost(error) from error
        except BaseException:
            self._link.retire(self, cancel=True)
            raise
        finally:
            self._busy = False
        return self.decode(answer) if type(answer) is bytes else (RETURN, answer)

    def _wait_in_lane(self) -> Any:
        while True:
            # Nothing is ever sent here on the socket, so what can be read is its end.
            if self._connection is None or self._connection.poll(0):
                raise EOFError("connection closed")
            try:
                return self._answers.get(True, LOOK_SECONDS)
            except (Empty, RuntimeError) as error:
                if error.args:
                    raise

    def _open_lane(self) -> None:
        answers = make_queue()
        if answers is None:
            return
        kind, value = self.call(None, "lane", (answers.handle(),), {})
        if kind == RETURN and value is not None:
            handle, key = value
            requests = open_queue(handle)
            if requests is not None:
                answers._patient()
                self._key = key
                self._requests = requests
                self._answers = answers
                self._ask = answers._ask

    def decode(self, data: bytes) -> Any:
        """Return the answer that *data* is."""
        if data == NOTHING:
            return RETURN, None
        if data == TRUE:
            return RETURN, True
        if data == FALSE:
            return RETURN, False
        if data[:2] == GRANTS:
            before, serving.link = serving.link, self._link
            try:
                return self._loads(data[2:])
            finally:
                serving.link = before
        return self._loads(data)

    def encode(self, ident: str | None, name: str, args: Any, kwds: Any) -> bytes:
        """Return a request as bytes. Raises what pickling raises."""
        request = (ident, name, args, kwds)
        if not kwds and type(args) is tuple:
            for arg in args:
                if type(arg) not in SCALARS:
                    break
            else:
                return _pickle.dumps(request, PROTOCOL)
        transfer = self._transfer
        if transfer.shared:
            transfer.clear()
        with transfer_scope(transfer):
            return self._dumps(request, PROTOCOL)

    def _call_plain(self, ident: str | None, name: str, args: Any, kwds: Any) -> Any:
        self._busy = True
        try:
            self._connection.send((ident, name, tuple(args), dict(kwds)))
            return self._connection.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise self._link.lost(error) from error
        except BaseException:
            self._link.retire(self, cancel=False)
            raise
        finally:
            self._busy = False

    def note(self, data: bytes) -> bool:
        """Send a one-way note unless the connection is being written; say whether it was sent."""
        if not self.marked or not self._sending.acquire(False):
            return False
        try:
            if self._connection is None:
                return False
            if self._ask is not None:
                # In line with the calls of this channel.
                self._requests.put(data + self._key)
                return True
            self._send(self._handle, self._kind, data)
        except OSError:
            return False
        finally:
            self._sending.release()
        return True

    def close(self) -> None:
        """Close the connection and forget it."""
        connection, self._connection, self._ask = self._connection, None, None
        if connection is not None:
            connection.close()
        self._link.forget(self)

    def abandon(self) -> None:
        """In the child of a fork: close the copy of the descriptor."""
        connection, self._connection, self._ask = self._connection, None, None
        if connection is not None:
            connection.close()
