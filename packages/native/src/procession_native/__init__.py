"""The C core: arena, heap, registry, lock words, queue; optional, built where a compiler is.

``core`` is the extension module, or None where it was not built or ``PROCESSION_NATIVE=0`` asks for the portable
variant.  ``PROCESSION_NATIVE=require`` makes a missing core an ImportError.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing would cost every fresh child 8 ms
if TYPE_CHECKING:
    from types import ModuleType

__all__ = ("build_info", "core")


def _load() -> ModuleType | None:
    asked = os.environ.get("PROCESSION_NATIVE", "auto")
    if asked == "0":
        return None
    try:
        if os.environ.get("PROCESSION_NATIVE_FAULTS"):
            from . import _core_faults  # the test build that dies on request

            return _core_faults
        from . import _core

        return _core
    except ImportError:
        if asked == "require":
            raise
        return None


core: ModuleType | None = _load()


def build_info() -> str:
    """One line that says which variant runs and why."""
    if core is not None:
        return f"native, arena layout {core.LAYOUT}"
    if os.environ.get("PROCESSION_NATIVE") == "0":
        return "portable, because PROCESSION_NATIVE=0"
    return "portable, because the C core is not built for this Python or platform"
