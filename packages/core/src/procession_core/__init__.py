"""Errors, process identity and state, lifecycle, logging, pickling and deadlines."""

from __future__ import annotations

from ._deadline import check_timeout, deadline_after, remaining
from ._descriptor import owner
from ._errors import (
    AuthenticationError,
    BufferTooShort,
    ForeignTreeError,
    InheritanceError,
    NotSupportedError,
    OwnerDiedError,
    PeerDiedError,
    ProcessError,
    ProcessStateError,
    ServerDiedError,
    StaleHandleError,
    TimeoutError,  # noqa: A004 - the documented name
    WorkerDiedError,
)
from ._lifecycle import (
    Finalize,
    at_end,
    at_exit,
    exit_function,
    is_exiting,
    register_after_fork,
    reset_after_fork,
    run_after_forkers,
    run_finalizers,
    set_children_ender,
)
from ._lifecycle import arm as arm_exit
from ._logging import (
    DEBUG,
    INFO,
    NOTSET,
    SUBDEBUG,
    SUBWARNING,
    WARNING,
    debug,
    get_logger,
    info,
    log_to_stderr,
    sub_debug,
    sub_warning,
    warn,
)
from ._runtime import AuthenticationString, Runtime, runtime
from ._transfer import (
    Transfer,
    current_transfer,
    default_send_fd,
    fd_recorders,
    scope_stack,
    set_fd_sharer,
    transfer_scope,
    transfer_scopes,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._reducer import ForkingPickler, Reducer, default_reducer, dump, register
    from ._shutdown import ShutDown
    from ._variant import native_requested

__all__ = (
    "DEBUG",
    "INFO",
    "NOTSET",
    "SUBDEBUG",
    "SUBWARNING",
    "WARNING",
    "AuthenticationError",
    "AuthenticationString",
    "BufferTooShort",
    "Finalize",
    "ForeignTreeError",
    "ForkingPickler",
    "InheritanceError",
    "NotSupportedError",
    "OwnerDiedError",
    "PeerDiedError",
    "ProcessError",
    "ProcessStateError",
    "Reducer",
    "Runtime",
    "ServerDiedError",
    "ShutDown",
    "StaleHandleError",
    "TimeoutError",
    "Transfer",
    "WorkerDiedError",
    "arm_exit",
    "at_end",
    "at_exit",
    "check_timeout",
    "current_transfer",
    "deadline_after",
    "debug",
    "default_reducer",
    "default_send_fd",
    "dump",
    "exit_function",
    "fd_recorders",
    "get_logger",
    "info",
    "is_exiting",
    "log_to_stderr",
    "native_requested",
    "owner",
    "register",
    "register_after_fork",
    "remaining",
    "reset_after_fork",
    "run_after_forkers",
    "run_finalizers",
    "runtime",
    "scope_stack",
    "set_children_ender",
    "set_fd_sharer",
    "sub_debug",
    "sub_warning",
    "transfer_scope",
    "transfer_scopes",
    "warn",
)

# Loaded when first named: a child that is started afresh needs none of them, and `queue`, whose ShutDown this
# is from Python 3.13 on, imports threading.
_LATER = {
    "ForkingPickler": "_reducer",
    "Reducer": "_reducer",
    "ShutDown": "_shutdown",
    "default_reducer": "_reducer",
    "dump": "_reducer",
    "native_requested": "_variant",
    "register": "_reducer",
}


def __getattr__(name: str) -> object:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(__import__(f"{__name__}.{module}", fromlist=(name,)), name)
    globals()[name] = found
    return found
