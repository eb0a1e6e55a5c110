"""Process, start methods, active_children, current_process, parent_process, freeze_support."""

from __future__ import annotations

import sys

from ._methods import (
    cpu_count,
    get_all_start_methods,
    get_executable,
    get_start_method,
    set_executable,
    set_start_method,
)
from ._preparation import Preparation, register_extra, unregister_extra
from ._process import (
    BaseProcess,
    ForkProcess,
    ForkServerProcess,
    Process,
    SpawnProcess,
    active_children,
    current_process,
    parent_process,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._death import Death
    from ._forwarding import log_to_parent
    from ._freeze import freeze_support

    if sys.platform == "win32":
        from ._many_windows import start_all
    else:
        from ._many import start_all
    from ._preload import forkserver_preload_report, set_forkserver_preload

__all__ = (
    "BaseProcess",
    "Death",
    "ForkProcess",
    "ForkServerProcess",
    "Preparation",
    "Process",
    "SpawnProcess",
    "active_children",
    "cpu_count",
    "current_process",
    "forkserver_preload_report",
    "freeze_support",
    "get_all_start_methods",
    "get_executable",
    "get_start_method",
    "log_to_parent",
    "parent_process",
    "register_extra",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
    "start_all",
    "unregister_extra",
)

# Loaded when first named: the child of a spawn needs none of them.
_LATER = {
    "Death": "_death",
    "forkserver_preload_report": "_preload",
    "freeze_support": "_freeze",
    "log_to_parent": "_forwarding",
    "set_forkserver_preload": "_preload",
    "start_all": "_many_windows" if sys.platform == "win32" else "_many",
}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(__import__(f"{__name__}.{module}", fromlist=(name,)), name)
    globals()[name] = found
    return found
