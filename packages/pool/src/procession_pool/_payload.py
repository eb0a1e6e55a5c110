"""How objects travel in the channels to and from processes.

A payload is a tag and bytes:

- PICKLED: the message of ``procession_shm.pack()``
- SPILLED: (handle) of a block that holds such a message, too long for the channel
- RAW: (handle, size) of a block that holds the bytes of a ``bytes`` object
- ERROR: the pickle of (pickled exception or None, class name, text, traceback text, reason)

Arena objects that a payload names are kept by its sender until the receiver has been heard of: the pool keeps
those of a task until its result is there, a worker keeps those of a result until the pool has read it.
"""

from __future__ import annotations

from _struct import Struct
from _thread import get_ident
from collections import deque

from procession_core import default_reducer, fd_recorders
from procession_shm import native as _native
from procession_shm import pack, unpack

from ._errors import (
    ExceptionWithTraceback,
    RemoteError,
    RemoteTraceback,
    format_traceback,
    qualified_name,
    safe_repr,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

native: Any = _native

PICKLED, SPILLED, RAW, ERROR = 16, 17, 18, 19

INLINE = 8000
"""Longer payloads do not go through the channel itself."""

_LARGE = 65536
_HANDLE = Struct("=QQQIQ")


class _SharedDescriptors:
    """Withdraws, when it is dropped, the descriptors that were shared for a message and that nobody has fetched."""

    def __init__(self, tokens: list[Any]) -> None:
        self._tokens = list(tokens)

    def __del__(self) -> None:
        for token in self._tokens:
            token.withdraw()


class Payloads:
    """Encoder and decoder of one side. ``keep(refs)`` takes the arena objects that a payload names; with *views*
    large buffers are used where they are, by who will not have many at a time.
    """

    def __init__(
        self, keep: Callable[[list[Any]], object], inline: int | None = INLINE, *, views: bool = False
    ) -> None:
        self._keep = keep
        self._views = views
        self._tokens: list[Any] = []
        # Without the arena there is nowhere else to put them, and the channel takes any length.
        self._inline = inline if native is not None else None

    def dumps(self, obj: Any) -> tuple[int, bytes] | tuple[int, bytes, bool]:
        """Return the payload of *obj*. Raises what pickling raises."""
        inline = self._inline
        if inline is not None and type(obj) is bytes and len(obj) > inline:
            return self._put(RAW, obj, [])
        tokens = self._tokens
        tokens.clear()
        fd_recorders[get_ident()] = tokens
        message = pack(obj)
        data = message.data
        if tokens:
            self._keep([_SharedDescriptors(tokens)])
        if inline is not None and len(data) > inline:
            return self._put(SPILLED, data, message.refs)
        if message.refs:
            self._keep(message.refs)
            return PICKLED, data, True
        return PICKLED, data

    def _put(self, tag: int, data: bytes, refs: list[Any]) -> tuple[int, bytes] | tuple[int, bytes, bool]:
        block = native.Block(len(data))
        native.block_fill(block, data)
        self._keep([block, *refs])
        payload = _HANDLE.pack(*block.handle(), len(data))
        # Large ones go out one by one, so that a worker begins while the next is being made.
        return (tag, payload, True) if len(data) > _LARGE else (tag, payload)

    def loads(self, tag: int, data: bytes) -> Any:
        """Return the object of a payload. Raises what unpickling raises."""
        if tag == PICKLED:
            return unpack(data, None, self._views)
        if tag in (SPILLED, RAW):
            *handle, size = _HANDLE.unpack(data)
            view = memoryview(native.open_handle(tuple(handle)))[:size]
            return unpack(view, None, self._views) if tag == SPILLED else bytes(view)
        if tag == ERROR:
            return default_reducer.loads(data)
        raise ValueError(
            f"payload with unknown tag {tag}: pool and worker need the same version of procession"
        )

    def failed(self, error: BaseException) -> tuple[int, bytes]:
        """Return the payload of an exception that a task raised; never raises."""
        try:
            tb = format_traceback(error, error.__traceback__)
        except BaseException as reason:
            tb = f"(the traceback could not be formatted: {safe_repr(reason)})"
        pickled = None
        why = ""
        try:
            pickled = default_reducer.dumps(ExceptionWithTraceback(error, tb))
        except BaseException as reason:
            why = f"it cannot be pickled: {safe_repr(reason)}"
        try:
            text = str(error)
        except BaseException as reason:
            text = f"(its str() raised {type(reason).__name__})"
        data = default_reducer.dumps((pickled, qualified_name(type(error)), text[:2000], tb[-20000:], why))
        if self._inline is None or len(data) <= self._inline:
            return ERROR, data
        block = native.Block(len(data))
        native.block_fill(block, data)
        self._keep([block])
        return SPILLED, _HANDLE.pack(*block.handle(), len(data))


def rebuild_error(value: tuple[bytes | None, str, str, str, str]) -> BaseException:
    """Return the exception that ``failed()`` has packed, or a RemoteError in its place."""
    pickled, name, text, tb, why = value
    if pickled is not None:
        try:
            error = default_reducer.loads(pickled)
        except BaseException as reason:  # a SystemExit would end the pool's thread
            why = f"it cannot be unpickled: {safe_repr(reason)}"
        else:
            if isinstance(error, BaseException):
                return error
            why = f"it unpickles to {safe_repr(error)}"
    stand_in = RemoteError(name, text, tb, why)
    stand_in.__cause__ = RemoteTraceback(f'\n"""\n{tb}"""')
    return stand_in


class KeptByTask:
    """What the pool keeps for the tasks of a worker, by the batch that is being made."""

    def __init__(self) -> None:
        self._current: list[Any] = []
        self._by_batch: dict[int, list[Any]] = {}

    def __call__(self, refs: list[Any]) -> None:
        self._current += refs

    def assign(self, batch: int) -> int:
        """What was kept since the last call belongs to this batch; return how many bytes of memory it is."""
        kept = self._current
        if not kept:
            return 0
        self._by_batch[batch] = kept
        self._current = []
        return sum(getattr(ref, "size", 0) for ref in kept)

    def release(self, batch: int) -> None:
        """The batch is done with."""
        self._by_batch.pop(batch, None)


class KeptUntilRead:
    """What a worker keeps for its results, until the pool has read past them."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, list[Any]]] = deque()
        self.positions: Callable[[], tuple[int, int]] = lambda: (0, 0)

    def __call__(self, refs: list[Any]) -> None:
        written, read = self.positions()
        kept = self._kept
        # The result that is being made will begin at `written` or after.
        while kept and kept[0][0] < read:
            kept.popleft()
        kept.append((written, refs))

    def holds(self) -> bool:
        """Whether results that have not been read need this process."""
        self.collect()
        return bool(self._kept)

    def collect(self) -> None:
        """Release what has been read."""
        kept = self._kept
        if kept:
            read = self.positions()[1]
            while kept and kept[0][0] < read:
                kept.popleft()
