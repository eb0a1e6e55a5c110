"""Process objects (``multiprocessing.process``)."""

from __future__ import annotations

from procession_core import AuthenticationString, runtime
from procession_process import BaseProcess, active_children, current_process, parent_process
from procession_process import _children as _started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ORIGINAL_DIR = runtime.original_dir

__all__ = (
    "ORIGINAL_DIR",
    "AuthenticationString",
    "BaseProcess",
    "active_children",
    "current_process",
    "parent_process",
)


def _cleanup() -> None:
    _started.reap()


# State that a module attribute cannot follow is looked up when it is asked for.
_STATE: dict[str, tuple[Any, str]] = {
    "_children": (_started, "started"),
    "_current_process": (runtime, "current"),
    "_parent_process": (runtime, "parent"),
}


def __getattr__(name: str) -> object:
    if name in _STATE:
        return getattr(*_STATE[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
