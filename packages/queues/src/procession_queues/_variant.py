"""The C core with our errors and our way of pickling bound to it; None for the portable variant."""

from __future__ import annotations

from queue import Empty, Full
from typing import Any

from procession_core import PeerDiedError, ShutDown, default_reducer
from procession_shm import native, pack, unpack

core: Any = native


def _pack(obj: object) -> Any:
    data, refs = pack(obj)
    return (data, refs) if refs else data


if core is not None:
    core.bind_errors(Empty=Empty, Full=Full, ShutDown=ShutDown, PeerDiedError=PeerDiedError)
    core.bind_queue(_pack, unpack, default_reducer.loads)
