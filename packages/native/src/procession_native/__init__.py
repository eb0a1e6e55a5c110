"""The C core: arena, heap, registry, lock words, queue; optional, built where a compiler is.

``core`` is the extension module, or None where it was not built or ``PROCESSION_NATIVE=0`` asks for the portable
variant.  ``PROCESSION_NATIVE=require`` makes a missing core an ImportError.  A Python that is built to run without
the GIL takes the portable variant too, unless ``PROCESSION_NATIVE=1`` or ``require`` asks for the core: it needs the
GIL for its Python objects, and loading it turns the GIL on for the whole process.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing would cost every fresh child 8 ms
if TYPE_CHECKING:
    from types import ModuleType

__all__ = ("build_info", "core")


# By how this Python was built, not by whether its GIL is on now: a child must come to its parent's answer.
_FREE_THREADED = "t" in getattr(sys, "abiflags", "")


def _load() -> ModuleType | None:
    asked = os.environ.get("PROCESSION_NATIVE") or "auto"
    if asked == "0" or (_FREE_THREADED and asked == "auto"):
        return None
    try:
        found: ModuleType
        if os.environ.get("PROCESSION_NATIVE_FAULTS"):
            from . import _core_faults  # the test build that dies on request

            found = _core_faults
        else:
            from . import _core

            found = _core
        if _FREE_THREADED and not sys._is_gil_enabled():  # type: ignore[attr-defined]
            raise ImportError(
                "the C core of procession needs the GIL, which PYTHON_GIL=0 or -X gil=0 keeps off"
            )
        return found
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
    if _FREE_THREADED:
        return "portable, because this Python runs without the GIL; PROCESSION_NATIVE=1 turns it on for the C core"
    return (
        "portable, because the C core is not built for this Python or platform, or another interpreter of this "
        "process uses it"
    )
