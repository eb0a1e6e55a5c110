"""Connection: messages over a descriptor."""

from __future__ import annotations

from procession_core import BufferTooShort, check_timeout, default_reducer, transfer_scopes
from procession_shm import oob_threshold

from . import _framing
from ._async import receive_frame, send_frame
from ._buffers import MAGIC, head, in_band, parse
from ._front import Front
from ._kinds import MARKED, PLAIN, TREE, UNIX, WIRE
from ._names import OURS, THEIRS, wire_reducer
from ._parcels import ENVELOPE, enclose, pack_message, unpack_message
from ._transfer import CarryingTransfer, CarryingWireTransfer, FrameTransfer, WireTransfer, arriving
from ._variant import core

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle as _pickle
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, NoReturn, Self
else:
    try:
        import _pickle
    except ImportError:
        import pickle as _pickle

if core is not None:
    core.bind_frame_end(_pickle.loads, THEIRS, MAGIC)

_CARRYING = (TREE, MARKED)
"""The links over which descriptors go beside the frame."""
_TRANSFERS: tuple[type[FrameTransfer], ...] = (FrameTransfer, FrameTransfer, WireTransfer, WireTransfer)
_CARRYING_TRANSFERS = (FrameTransfer, CarryingTransfer, WireTransfer, CarryingWireTransfer)
"""By link."""


class Connection:
    """One end of a pipe, or of a connection between a Listener and a Client.

    *handle* is a file descriptor, which the connection owns from then on. Messages are kept whole; two
    threads or processes that read (or write) the same end at the same time may garble them.

    Raises ValueError for a negative descriptor and for neither *readable* nor *writable*.
    """

    def __init__(self, handle: int, readable: bool = True, writable: bool = True) -> None:
        self._handle: int | None = None
        number = handle.__index__()
        if number < 0:
            raise ValueError(
                f"invalid handle: {number}; it must be a descriptor, 0 or more, that is open here"
            )
        if not readable and not writable:
            raise ValueError("at least one of `readable` and `writable` must be True")
        self._handle = number
        self._readable = readable
        self._writable = writable
        self._kind = -1
        self._link = PLAIN
        self._unpickler: Callable[..., Any] | None = None
        self._bag: Any = None
        self._opening: bytes | None = None
        self._side = -1
        self._in: Any = None
        self._out: Any = None
        self._front: Any = None
        self._frames: Any = None

    def __del__(self) -> None:
        # An interpreter without the GIL takes modules apart at its end before the last objects.
        if self._handle is not None and _framing is not None:
            self.close()

    # ---- state -------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self._handle is None

    @property
    def readable(self) -> bool:
        """Whether messages can be received on this end."""
        return self._readable

    @property
    def writable(self) -> bool:
        """Whether messages can be sent on this end."""
        return self._writable

    def fileno(self) -> int:
        """Return the descriptor. Raises OSError if the connection is closed.

        Messages of a Pipe go through shared memory until somebody asks for it, and through the descriptor from
        then on. While messages from before wait to be received, it may be one that only says so.
        """
        handle = self._handle
        if handle is None:
            self._refuse()
        if self._in is not None or self._out is not None or self._frames is not None:
            self._use_descriptor()
        front = self._front
        return handle if front is None else front.fileno()

    def _use_descriptor(self) -> int:
        """Send and receive through the descriptor from now on; return it."""
        handle = self._handle
        if handle is None:
            self._refuse()
        end = self._in or self._out
        if end is not None:
            self._out = None
            if not end.leave():
                self._ring_is_over()
            elif self._front is None:
                self._front = Front(handle)
        frames = self._frames
        if frames is not None and frames.leave() and self._front is None:
            self._front = Front(handle)
        return handle

    def close(self) -> None:
        """Close the connection; the other end then reads EOFError. Closing twice does nothing."""
        handle = self._handle
        if handle is not None:
            self._handle = None
            end, front = self._in, self._front
            self._in = self._out = self._front = self._bag = self._frames = None
            if front is not None:
                front.close()
            self._close(handle)
            if end is not None:
                end.closed()

    def _close(self, handle: int) -> None:
        _framing.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _refuse(self) -> NoReturn:
        if self._handle is None:
            raise OSError("handle is closed: close() was called on this connection in this process")
        if self._writable:
            raise OSError("connection is write-only: receive from the other end")
        raise OSError("connection is read-only: send from the other end")

    def _kind_now(self) -> int:
        # Asked of the kernel at the first use: a connection may be made on a number that is not open yet.
        kind = self._kind
        if kind < 0:
            handle = self._handle
            kind = self._kind = _framing.kind_of(self.fileno() if handle is None else handle)
        return kind

    def _ring_is_over(self) -> None:
        # Everything that was in the ring has been received; what follows comes through the descriptor.
        self._in = None
        if self._front is not None:
            self._front.quiet()

    # ---- objects -----------------------------------------------------------------------------------------

    def send(self, obj: object) -> None:
        """Send *obj*, pickled. Blocks while the other end does not read and the buffers are full.

        Raises OSError if the connection is closed or cannot be written (BrokenPipeError if the other end is
        closed), and what pickling raises; then nothing has been sent.
        """
        handle = self._handle
        if handle is None or not self._writable:
            self._refuse()
        out = self._out
        if out is not None:
            sent = out.send(obj)
            if sent is True:
                return
            self._out = None
            if sent is not False:
                data, refs, descriptors = sent  # the ring cannot carry it
                out.leave(False)
                _framing.send_fds(handle, self._kind, enclose(data, refs, self), descriptors)
                return
        frames = self._frames
        if frames is not None and frames.send(obj):
            return
        kind = self._kind
        if kind < 0:
            kind = self._kind_now()
        bag = self._bag
        if bag is None and frames is None and self._send_plain(handle, kind, obj):
            return
        following: list[Any] = []
        if bag is None:
            data, fds = self._pickle(obj, kind, following if self._link == MARKED else None)
        else:
            data, fds = pack_message(obj, self, kind)
        if fds:
            _framing.send_fds(handle, kind, data, fds)
        else:
            self._send(handle, kind, data)
        for view in following:
            self._send(handle, kind, view)

    def _pickle(
        self, obj: object, kind: int, following: list[Any] | None = None
    ) -> tuple[bytes, list[int] | None]:
        transfer = (_CARRYING_TRANSFERS if kind >= UNIX else _TRANSFERS)[self._link]()
        scopes = transfer_scopes()
        scopes.append(transfer)
        try:
            buffers: list[Any] = []
            threshold = 0 if following is None else oob_threshold()
            data = (
                default_reducer.dumps_oob(obj, threshold, buffers)
                if threshold
                else default_reducer.dumps(obj)
            )
            if transfer.wire and OURS in data:
                transfer.clear()
                buffers.clear()
                data = wire_reducer.dumps(obj)
            if buffers and following is not None:
                data, views = head(data, buffers)
                following += views
        finally:
            scopes.pop()
        return data, transfer.fds

    def recv(self) -> Any:
        """Return the next object. Blocks until there is one.

        Raises EOFError when the other end is closed and everything has been received, OSError if the
        connection is closed or broke in the middle of a message, and what unpickling raises.
        """
        handle = self._handle
        if handle is None or not self._readable:
            self._refuse()
        end = self._in
        if end is not None:
            obj = end.recv()
            if self._front is not None:
                self._front.follow(end)
            if obj is not end:
                return obj
            self._ring_is_over()
        frames = self._frames
        if frames is not None:
            obj = frames.recv()
            if self._front is not None:
                self._front.follow(frames)
            if obj is not frames:
                return obj
        kind = self._kind
        if kind < 0:
            kind = self._kind_now()
        link = self._link
        data: Any
        if frames is not None:
            data, fds = frames.rest()
            if fds is not None:
                data = data, fds
        elif kind >= UNIX and link in _CARRYING:
            data = _framing.recv_fds(handle, kind)
        else:
            data = self._recv(handle, kind, -1)
        if type(data) is tuple:
            with arriving(data[1]):
                return self._loads(*self._rest(handle, kind, data[0]))
        if link == MARKED and data.startswith(MAGIC):
            return self._loads(*self._rest(handle, kind, data))
        if link <= TREE or (self._unpickler is None and THEIRS not in data):
            if link == TREE and data.startswith(ENVELOPE) and self._bag is not None:
                return unpack_message(data, self)
            return _pickle.loads(data)
        return self._loads(data)

    def _rest(self, handle: int, kind: int, data: bytes) -> tuple[bytes, list[memoryview] | None]:
        """Return the pickle of a message and its buffers, received into memory of their own."""
        if self._link != MARKED or not data.startswith(MAGIC):
            return data, None
        data, entries = parse(data)
        buffers = []
        for size, readonly in entries:
            view = memoryview(bytearray(size))
            if self._fill(handle, kind, view) != size:
                raise OSError("bad message: a buffer has another size than was announced")
            buffers.append(view.toreadonly() if readonly else view)
        return data, buffers

    def _fill(self, handle: int, kind: int, room: memoryview) -> int | bytes:
        frames = self._frames
        if frames is None:
            return self._recv_into(handle, kind, room)
        got: int | bytes = frames.recv_into(room)
        if self._front is not None:
            self._front.follow(frames)
        return got

    def _loads(self, data: Any, buffers: Any = None) -> Any:
        options = {} if buffers is None else {"buffers": buffers}
        if self._unpickler is not None:
            return self._unpickler(data, **options)
        if self._link >= WIRE:
            return wire_reducer.loads(data, **options)
        return _pickle.loads(data)

    # ---- bytes -------------------------------------------------------------------------------------------

    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> None:
        """Send *size* bytes of the bytes-like *buf* from *offset* on (all that follow by default) as one
        message.

        Blocks as ``send()`` does. Raises OSError as ``send()``, ValueError for a range outside of *buf*,
        TypeError for what is not bytes-like.
        """
        handle = self._handle
        if handle is None or not self._writable:
            self._refuse()
        kind = self._kind
        if kind < 0:
            kind = self._kind_now()
        if offset or size is not None or type(buf) is not bytes:
            buf = _slice(buf, offset, size)
        out = self._out
        if out is not None:
            if out.send_bytes(buf):
                return
            self._out = None
        self._send(handle, kind, buf)

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Return the next message as bytes. Blocks until there is one.

        A message longer than *maxlength* bytes raises OSError, and nothing more can be received then. Raises
        as ``recv()`` otherwise, ValueError for a negative *maxlength*.
        """
        handle = self._handle
        if handle is None or not self._readable:
            self._refuse()
        kind = self._kind
        if kind < 0:
            kind = self._kind_now()
        if maxlength is None:
            maxlength = -1
        elif maxlength < 0:
            raise ValueError(f"negative maxlength: {maxlength}; give None for messages of any length")
        end = self._in
        data: Any = end
        if end is not None:
            data = end.recv_bytes(maxlength)
            if type(data) is tuple:
                data = self._whole(data)
                if 0 <= maxlength < len(data):
                    data = None
            if self._front is not None:
                self._front.follow(end)
            if data is end:
                self._ring_is_over()
        if data is end:
            frames = self._frames
            if frames is None:
                data = self._recv(handle, kind, maxlength)
            else:
                data = frames.recv_bytes(maxlength)
                if self._front is not None:
                    self._front.follow(frames)
        if data is None:
            self._spoil()
            raise OSError(
                f"bad message length: more than the maxlength of {maxlength}; the connection is unusable now"
            )
        if self._link == MARKED and data.startswith(MAGIC):
            data, buffers = self._rest(handle, kind, data)
            data = in_band(data, buffers or ())
            if 0 <= maxlength < len(data):
                raise OSError(f"bad message length: {len(data)}, more than the maxlength of {maxlength}")
        return data  # type: ignore[no-any-return]

    def _whole(self, parts: tuple[Any, ...]) -> bytes:
        """Return the pickle of a message of the ring that is none: of an object, or of data and what it names."""
        if len(parts) == 1:
            return default_reducer.dumps(parts[0])
        return enclose(parts[0], parts[1], self)

    def _spoil(self) -> None:
        # The rest of the message is still in the stream, so no later message could be found.
        if self._writable:
            self._readable = False
        else:
            self.close()

    def recv_bytes_into(self, buf: Any, offset: int = 0) -> int:
        """Receive the next message into the writable bytes-like *buf* from byte *offset* on; return its
        length.

        Blocks until there is one. Raises BufferTooShort, whose ``args[0]`` is the message, if it does not
        fit; ValueError for an offset outside of *buf*; TypeError for a *buf* that cannot be written; otherwise
        as ``recv()``.
        """
        handle = self._handle
        if handle is None or not self._readable:
            self._refuse()
        kind = self._kind
        if kind < 0:
            kind = self._kind_now()
        with memoryview(buf) as view, view.cast("B") as flat:
            if flat.readonly:
                raise TypeError(f"a writable bytes-like object is required, not {type(buf).__name__!r}")
            if offset < 0:
                raise ValueError(f"negative offset: {offset}")
            if offset > len(flat):
                raise ValueError(f"offset too large: {offset} in a buffer of {len(flat)} bytes")
            with flat[offset:] as room:
                if self._in is not None:
                    got = self._ring_into(handle, kind, room)
                elif self._link != MARKED:
                    got = self._fill(handle, kind, room)
                else:  # the message may be longer than its first frame
                    whole = self.recv_bytes()
                    fits = len(whole) <= len(room)
                    if fits:
                        room[: len(whole)] = whole
                    got = len(whole) if fits else whole
        if type(got) is not int:
            raise BufferTooShort(got)
        return got

    def _ring_into(self, handle: int, kind: int, room: memoryview) -> Any:
        end = self._in
        got = end.recv_into(room)
        if self._front is not None:
            self._front.follow(end)
        if got is end:
            self._ring_is_over()
            return self._fill(handle, kind, room)
        if type(got) is tuple:
            got = self._whole(got)
        if type(got) is bytes and len(got) <= len(room):
            room[: len(got)] = got
            got = len(got)
        return got

    # ---- waiting -----------------------------------------------------------------------------------------

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Say whether something can be received, waiting at most *timeout* seconds (None for ever).

        True also at the end of the stream. Raises OSError if the connection is closed.
        """
        handle = self._handle
        if handle is None or not self._readable:
            self._refuse()
        if timeout is not None:
            timeout = check_timeout(timeout)
        end = self._in
        if end is not None:
            found = end.poll(timeout)
            if found is not end:
                return found  # type: ignore[no-any-return]
            self._ring_is_over()
        frames = self._frames
        return self._poll(handle, timeout) if frames is None else frames.poll(timeout)

    # ---- without blocking an event loop ------------------------------------------------------------------

    async def async_recv(self) -> Any:
        """Return the next object as ``recv()`` does, without blocking the running asyncio loop.

        One task at a time may receive. A task that is cancelled between two messages has taken nothing; one
        that is cancelled in the middle of a message leaves the connection closed. Raises as ``recv()``.
        """
        if self._handle is None or not self._readable:
            self._refuse()
        self._use_descriptor()
        end = self._in
        if end is not None:
            obj = self.recv()  # of before
            if self._in is not None:
                return obj
        data, fds = await receive_frame(self)
        buffers: list[Any] | None = None
        if self._link == MARKED and data.startswith(MAGIC):
            data, entries = parse(data)
            buffers = []
            for _, readonly in entries:
                buffer = (await receive_frame(self))[0]
                buffers.append(buffer if readonly else bytearray(buffer))
        if fds is None:
            return self._loads(data, buffers)
        with arriving(fds):
            return self._loads(data, buffers)

    async def async_send(self, obj: object) -> None:
        """Send *obj* as ``send()`` does, without blocking the running asyncio loop.

        One task at a time may send. A task that is cancelled in the middle of a message leaves the connection
        closed. Raises as ``send()``.
        """
        if self._handle is None or not self._writable:
            self._refuse()
        self._use_descriptor()
        kind = self._kind_now()
        bag = self._bag
        data, fds = self._pickle(obj, kind) if bag is None else pack_message(obj, self, kind)
        await send_frame(self, data, fds or [])

    # ---- what TLS does differently -----------------------------------------------------------------------

    _encrypted = False

    async def _wait_message(self) -> None:
        """Wait until a whole message has been decrypted, or the stream has ended."""

    async def _send_slowly(self, view: memoryview) -> None:
        """Encrypt and write a message."""

    # Not methods: the C functions are called without a detour.
    _send = staticmethod(_framing.send)
    _send_plain = staticmethod(_framing.send_plain)
    _recv = staticmethod(_framing.recv)
    _recv_into = staticmethod(_framing.recv_into)
    _poll = staticmethod(_framing.poll)


def _slice(buf: Any, offset: int, size: int | None) -> memoryview:
    view = memoryview(buf)
    if not view.c_contiguous:
        view = memoryview(bytes(view))
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    length = len(view)
    if offset < 0:
        raise ValueError(f"offset is negative: {offset}")
    if length < offset:
        raise ValueError(f"buffer length < offset: {length} < {offset}")
    if size is None:
        size = length - offset
    elif size < 0:
        raise ValueError(f"size is negative: {size}")
    elif offset + size > length:
        raise ValueError(f"buffer length < offset + size: {length} < {offset} + {size}")
    return view[offset : offset + size]


def check_unpickler(unpickler: object) -> None:
    """Refuse what could not load anything, before there is something to load. Raises TypeError."""
    if unpickler is not None and not callable(unpickler):
        raise TypeError(f"unpickler must be a callable, as allow() returns one, not {unpickler!r}")


def make(
    handle: int,
    kind: int,
    link: int,
    readable: bool = True,
    writable: bool = True,
    unpickler: Callable[..., Any] | None = None,
    bag: Any = None,
    side: int = -1,
    alone: bool = False,
    ahead: int = -1,
) -> Connection:
    """Return a connection on *handle*, of which everything is known.

    *bag* is what the ends of a pipe share, *side* which of them it is. *alone* says that nobody else has the
    descriptor; *ahead* is one by which bytes that were received already are found.
    """
    connection = _new(Connection)
    connection._handle = handle
    connection._kind = kind
    connection._link = link
    connection._readable = readable
    connection._writable = writable
    connection._unpickler = unpickler
    connection._bag = bag
    connection._opening = None
    connection._side = side
    connection._front = connection._in = connection._out = connection._frames = None
    if core is not None and link >= WIRE:
        carrying = link == MARKED and kind >= UNIX
        connection._frames = core.FrameEnd(handle, kind, unpickler is None, carrying, alone, ahead)
    if side >= 0 and bag is not None:
        end = bag.end(side, handle, kind, readable, writable)
        connection._in = end if readable else None
        connection._out = end if writable else None
    return connection


_new = Connection.__new__
