"""Blocks of arena memory: how they are pickled, and what the arena uses."""

from __future__ import annotations

from operator import index

from procession_core import current_transfer, default_reducer

from ._native import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def memory() -> dict[str, Any]:
    """Return what the arena of this process tree uses, in bytes: ``used``, ``peak``, ``limit`` (None: none),
    ``file_size``, ``kept_free`` (free, but not given back to the kernel), and ``processes``: for each live
    process ``pid``, ``name``, ``blocks`` and ``bytes`` that it holds. What several hold counts for each.

    Empty without the C core, and before the first shared object.
    """
    if native is None or not native.attached():
        return {}
    usage: dict[str, Any] = native.memory()
    usage["processes"] = processes = []
    for process in native.processes():
        if process["alive"]:
            blocks, size = native.slot_memory(process["slot"])
            held = {"pid": process["pid"], "name": process["name"], "blocks": blocks, "bytes": size}
            processes.append(held)
    return usage


def set_memory_limit(size: int | None) -> None:
    """Let the arena of this process tree grow to at most *size* bytes; more is a MemoryError for who asks
    for it. None lifts the limit.

    Raises TypeError for what is not an int, ValueError for a negative size. Does nothing without the C core, where
    memory is each object's own.
    """
    if size is not None:
        try:
            size = index(size)
        except TypeError:
            raise TypeError(f"the limit must be a number of bytes or None, not {size!r}") from None
        if size < 0:
            raise ValueError(f"the limit must be 0 or more bytes or None, not {size}")
    if native is not None:
        native.set_limit(size)


if native is not None:
    _open_handle = native.open_handle

    def _rebuild_block(handle: tuple[int, int, int, int]) -> Any:
        return _open_handle(handle)

    def _reduce_block(block: Any) -> tuple[object, ...]:
        transfer = current_transfer()
        if transfer is not None:
            transfer.hold(block)
        return _rebuild_block, (block.handle(),)

    default_reducer.register(native.Block, _reduce_block)
