"""wait: which of several objects can be received from."""

from __future__ import annotations

from procession_core import check_timeout

from . import _framing

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
    buffered = []
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
        # An encrypted connection may hold decrypted bytes that the kernel knows nothing of.
        if getattr(obj, "_pending", None) is not None and obj._pending():
            buffered.append(len(fds) - 1)
    if buffered:
        found = {*buffered, *_framing.wait(fds, 0.0)}
        return [obj for position, obj in enumerate(objects) if position in found]
    return [objects[position] for position in _framing.wait(fds, check_timeout(timeout))]
