"""Errors that have nobody to go to."""

from __future__ import annotations

import sys
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def unraisable(where: object, error: BaseException) -> None:
    """Report an exception of a callback as the interpreter reports those of finalisers."""
    hook: Any = sys.unraisablehook
    hook(
        SimpleNamespace(
            exc_type=type(error),
            exc_value=error,
            exc_traceback=error.__traceback__,
            err_msg="Exception ignored in a callback of a pool",
            object=where,
        )
    )
