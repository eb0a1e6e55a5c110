"""The C core as this and all higher layers use it, our error classes bound to it; None where it is not
built.
"""

from __future__ import annotations

import procession_core
import procession_native

native = getattr(procession_native, "core", None)

if native is not None:
    native.bind_errors(
        OwnerDied=procession_core.OwnerDiedError,
        ForeignTree=procession_core.ForeignTreeError,
        StaleHandle=procession_core.StaleHandleError,
    )
