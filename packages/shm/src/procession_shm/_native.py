"""The C core as this and all higher layers use it, our error classes bound to it; None where it is not
built.
"""

from __future__ import annotations

import procession_core
from procession_native import core

native = core

if native is not None:
    native.bind_errors(
        OwnerDiedError=procession_core.OwnerDiedError,
        PeerDiedError=procession_core.PeerDiedError,
        ForeignTreeError=procession_core.ForeignTreeError,
        StaleHandleError=procession_core.StaleHandleError,
    )
