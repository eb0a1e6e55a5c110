"""Managers and proxies (``multiprocessing.managers``)."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    raise ImportError("procession.managers needs POSIX")

import procession_managers
from procession_managers import *  # noqa: F403 - one list, in the leaf
from procession_managers._channel import raise_answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = procession_managers.__all__


def dispatch(
    c: Any, id: str | None, methodname: str, args: Sequence[Any] = (), kwds: Mapping[str, Any] | None = None
) -> Any:
    """Call a method of the shared object *id* (None: of the server) through connection *c*; return the result.

    Blocks until the answer has come. Raises what the method raises, and RemoteError for an error of the server.
    """
    c.send((id, methodname, args, {} if kwds is None else kwds))
    kind, value = c.recv()
    if kind == "#RETURN":
        return value
    try:
        return raise_answer(kind, value)
    finally:
        del value  # or the error and this frame would refer to each other
