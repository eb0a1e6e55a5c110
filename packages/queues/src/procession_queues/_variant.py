"""The C core with our errors and our way of pickling bound to it; None for the portable variant."""

from __future__ import annotations

from queue import Empty, Full

from procession_core import ForkingPickler, PeerDiedError, ShutDown
from procession_shm import native, pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

core: Any = native


def _pack(obj: object) -> Any:
    message = pack(obj)
    refs = message.refs
    return (message.data, refs) if refs else message.data


if core is not None:
    core.bind_errors(Empty=Empty, Full=Full, ShutDown=ShutDown, PeerDiedError=PeerDiedError)
    core.bind_queue(_pack, unpack, ForkingPickler.loads)
