"""The C core with the errors bound that synchronisation objects raise; None for the portable variant."""

from __future__ import annotations

import threading

import procession_core
import procession_native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

core: Any = procession_native.core

if core is not None:
    core.bind_errors(
        OwnerDiedError=procession_core.OwnerDiedError,
        ForeignTreeError=procession_core.ForeignTreeError,
        StaleHandleError=procession_core.StaleHandleError,
        BrokenBarrierError=threading.BrokenBarrierError,
    )
