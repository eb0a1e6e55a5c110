"""wait: which of several objects can be received from."""

from __future__ import annotations

from procession_core import check_timeout, deadline_after, remaining

from . import _framing
from ._connection import Connection
from ._variant import core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Return the objects of *object_list* that are ready, waiting at most *timeout* seconds (None for ever).

    An object is a Connection, a socket, ``Process.sentinel``, or anything else with a ``fileno()`` or that is
    a descriptor. A connection is ready when a message or the end of the stream can be received. A negative
    *timeout* means zero. The result is empty when nothing was ready in time.

    Raises OSError for what is closed, ValueError for what has no descriptor.
    """
    objects = object_list if type(object_list) is list else list(object_list)
    fds: list[int] = []
    asked = []
    rings: list[Any] = []
    ahead: list[int] = []
    for obj in objects:
        if type(obj) is Connection and obj._front is None:
            if (end := obj._in) is not None:
                if not rings:
                    rings = [None] * len(objects)
                rings[len(fds)] = end
                fds.append(obj._handle)  # type: ignore[arg-type]
                continue
            if (frames := obj._frames) is not None:
                if frames.has():
                    ahead.append(len(fds))
                fds.append(obj._handle)  # type: ignore[arg-type]
                continue
        if type(obj) is int:
            fds.append(obj)
            continue
        try:
            fileno = obj.fileno
        except AttributeError:
            try:
                fds.append(obj.__index__())
            except AttributeError:
                raise ValueError(
                    f"Invalid file object: {obj!r} has no fileno(); give connections, sockets or descriptors"
                ) from None
            continue
        fds.append(fileno())
        if hasattr(obj, "_has_input"):
            asked.append(len(fds) - 1)
    if ahead:  # what has been received already does not make a descriptor readable
        ready = {*ahead, *_ready(fds, rings, 0.0)}.difference(asked)
        ready.update(position for position in asked if objects[position]._has_input())
        return [objects[position] for position in sorted(ready)]
    if asked:
        return _wait_asking(objects, fds, rings, asked, check_timeout(timeout))
    return [objects[position] for position in _ready(fds, rings, check_timeout(timeout))]


def _ready(fds: list[int], rings: list[Any], timeout: float | None) -> list[int]:
    return core.pipe_wait(fds, timeout, rings) if rings else _framing.wait(fds, timeout)


def _wait_asking(
    objects: list[Any], fds: list[int], rings: list[Any], asked: list[int], timeout: float | None
) -> list[Any]:
    # Some descriptors do not say it all. What is decrypted already does not make one readable, and a record without
    # a message does; a queue's is rung a moment after the item is there, and a process that put it and ended in that
    # moment must not look as if it had ended without. Such objects are asked, before and after.
    deadline = deadline_after(timeout)
    while True:
        before = any(objects[position]._has_input() for position in asked)
        found = set(_ready(fds, rings, 0.0 if before else remaining(deadline)))
        ready = found.difference(asked).union(
            position for position in asked if objects[position]._has_input()
        )
        if ready or (deadline is not None and remaining(deadline) == 0.0):
            return [obj for position, obj in enumerate(objects) if position in ready]
        for position in found:
            if not rings or rings[position] is None:
                fds[position] = objects[position].fileno()  # quiet again
