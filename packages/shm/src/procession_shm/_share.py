"""``share()``: put an object into shared memory once, read it from any process of the tree without a copy."""

from __future__ import annotations

from procession_core import current_transfer, default_reducer, transfer_scope

from ._message_transfer import MessageTransfer
from ._native import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pickle import PickleBuffer
    from typing import Any

# Buffers of this size and more are not copied by those who read; smaller ones would cost more than they save.
_THRESHOLD = 1024
# Buffers start at multiples of this: what vector instructions like.
_ALIGNMENT = 64


class SharedObject:
    """What ``share()`` returns: a handle that can be sent anywhere in the process tree.

    The memory is given back with the last handle and the last view of it, in whichever process.
    """

    __slots__ = ("__weakref__", "_data", "_kept", "_parts")

    def __init__(self, data: Any, parts: tuple[tuple[int, int], ...], kept: Any) -> None:
        self._data = data
        self._parts = parts
        self._kept = kept

    def get(self) -> Any:
        """Return the object; its buffers are read-only views of the shared memory, which they keep alive.

        Each call makes a new object around the same memory. Never blocks. Raises what unpickling raises.
        """
        memory = memoryview(self._data).toreadonly()
        first, *rest = (memory[start:end] for start, end in self._parts)
        return default_reducer.loads(first, buffers=rest)

    @property
    def nbytes(self) -> int:
        """The bytes of shared memory that the object takes."""
        return max(end for _, end in self._parts)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.nbytes} bytes>"

    def __reduce__(self) -> tuple[object, ...]:
        if native is None:
            return SharedObject, (bytes(self._data), self._parts, None)
        transfer = current_transfer()
        kept = None if self._kept is None else self._kept.handle()
        if transfer is not None:
            transfer.hold(self._data)
            if self._kept is not None:
                transfer.hold(self._kept)
        return _open_shared, (self._data.handle(), self._parts, kept)


def _open_shared(handle: Any, parts: tuple[tuple[int, int], ...], kept: Any) -> SharedObject:
    if native is None:
        raise RuntimeError(
            "the object was shared by a process with the C core, which this process does not have; "
            "procession doctor says why"
        )
    return SharedObject(native.open_handle(handle), parts, None if kept is None else native.open_handle(kept))


def share(obj: object) -> SharedObject:
    """Put *obj* into shared memory and return a handle; ``handle.get()`` gives it back in any process of the
    tree.

    The object is pickled once; its big buffers (numpy arrays, Arrow tables, ``pickle.PickleBuffer``) are
    copied once and never again, however many read them. Without the C core the handle carries a copy of the
    object.

    Never blocks. Raises what pickling raises, and MemoryError if it does not fit.
    """
    transfer = MessageTransfer()
    buffers: list[PickleBuffer] = []
    with transfer_scope(transfer):
        data = default_reducer.dumps_oob(obj, _THRESHOLD, buffers)
    raws = [buffer.raw() for buffer in buffers]
    parts = [(0, len(data))]
    for raw in raws:
        start = -(-parts[-1][1] // _ALIGNMENT) * _ALIGNMENT
        parts.append((start, start + raw.nbytes))
    size = parts[-1][1]
    if native is None:
        memory = bytearray(size)
        for (start, end), raw in zip(parts, [memoryview(data), *raws], strict=True):
            memory[start:end] = raw
        return SharedObject(bytes(memory), tuple(parts), None)
    block = native.Block(size)
    for (start, _), raw in zip(parts, [memoryview(data), *raws], strict=True):
        native.block_fill(block, raw, start)
    kept = native.hold_refs(transfer.refs) if transfer.refs else None
    return SharedObject(block, tuple(parts), kept)
