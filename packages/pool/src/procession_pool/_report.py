"""Errors that have nobody to go to."""

from __future__ import annotations

import sys
from types import SimpleNamespace

_MESSAGE = "Exception ignored in a callback of a pool"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def unraisable(where: object, error: BaseException) -> None:
    """Report an exception of a callback as the interpreter reports those of finalisers."""
    hook: Any = sys.unraisablehook
    if hook is sys.__unraisablehook__:  # takes nothing but what the interpreter itself has made
        import traceback

        try:
            sys.stderr.write(f"{_MESSAGE}: {where!r}\n")
            traceback.print_exception(error)
        except (AttributeError, ValueError, OSError):
            pass
        return
    hook(
        SimpleNamespace(
            exc_type=type(error),
            exc_value=error,
            exc_traceback=error.__traceback__,
            err_msg=_MESSAGE,
            object=where,
        )
    )
