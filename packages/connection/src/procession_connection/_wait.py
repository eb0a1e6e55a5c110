"""wait: which of several objects can be received from."""

from __future__ import annotations

from procession_core import check_timeout, deadline_after, remaining

from . import _framing
from ._tls import TLSConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def wait(object_list: Iterable[Any], timeout: float | None = None) -> list[Any]:
    """Return the objects of *object_list* that are ready, waiting at most *timeout* seconds (None for ever).

    An object is a Connection, a socket, ``Process.sentinel``, or anything else with a ``fileno()`` or that is
    a descriptor. A connection is ready when a message or the end of the stream can be received. A negative
    *timeout* means zero. The result is empty when nothing was ready in time.

    Raises OSError for what is closed, TypeError for what has no descriptor.
    """
    objects = object_list if type(object_list) is list else list(object_list)
    fds = []
    encrypted = []
    for obj in objects:
        if type(obj) is int:
            fds.append(obj)
            continue
        try:
            fileno = obj.fileno
        except AttributeError:
            try:
                fds.append(obj.__index__())
            except AttributeError:
                raise TypeError(
                    f"{obj!r} cannot be waited for: it has no fileno(); give connections, sockets or descriptors"
                ) from None
            continue
        fds.append(fileno())
        if type(obj) is TLSConnection:
            encrypted.append(len(fds) - 1)
    if encrypted:
        return _wait_decrypting(objects, fds, encrypted, check_timeout(timeout))
    return [objects[position] for position in _framing.wait(fds, check_timeout(timeout))]


def _wait_decrypting(
    objects: list[Any], fds: list[int], encrypted: list[int], timeout: float | None
) -> list[Any]:
    # What is decrypted already does not make the descriptor readable, and a record without a message does.
    deadline = deadline_after(timeout)
    while True:
        decrypted = [position for position in encrypted if objects[position]._pending()]
        found = set(_framing.wait(fds, 0.0 if decrypted else remaining(deadline)))
        spurious = {position for position in found.intersection(encrypted) if not objects[position]._pending()}
        ready = (found - spurious).union(decrypted)
        if ready or (deadline is not None and remaining(deadline) == 0.0):
            return [obj for position, obj in enumerate(objects) if position in ready]
