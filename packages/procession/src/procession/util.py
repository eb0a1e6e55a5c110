"""Logging, finalizers and small tools (``multiprocessing.util``)."""

from __future__ import annotations

import os
import sys
import threading
from itertools import pairwise

from procession_connection import private_directory, stop_sharing
from procession_core import (
    DEBUG,
    INFO,
    NOTSET,
    SUBDEBUG,
    SUBWARNING,
    WARNING,
    Finalize,
    NotSupportedError,
    debug,
    get_logger,
    info,
    is_exiting,
    log_to_stderr,
    register_after_fork,
    sub_debug,
    sub_warning,
    warn,
)
from procession_core import exit_function as _exit_function
from procession_core import run_after_forkers as _run_after_forkers
from procession_core import run_finalizers as _run_finalizers
from procession_core._lifecycle import after_forkers as _afterfork_registry
from procession_core._lifecycle import finalizer_registry as _finalizer_registry
from procession_core._logging import DEFAULT_LOGGING_FORMAT, LOGGER_NAME
from procession_process._bootstrap import flush_streams as _flush_std_streams
from procession_process._flags import interpreter_arguments as _args_from_interpreter_flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = (
    "DEBUG",
    "DEFAULT_LOGGING_FORMAT",
    "INFO",
    "LOGGER_NAME",
    "MAXFD",
    "NOTSET",
    "SUBDEBUG",
    "SUBWARNING",
    "WARNING",
    "Finalize",
    "ForkAwareLocal",
    "ForkAwareThreadLock",
    "close_all_fds_except",
    "debug",
    "get_logger",
    "get_temp_dir",
    "info",
    "is_exiting",
    "log_to_stderr",
    "register_after_fork",
    "spawnv_passfds",
    "sub_debug",
    "sub_warning",
    "warn",
)

abstract_sockets_supported = sys.platform == "linux"

MAXFD = 256
if sys.platform != "win32":
    try:
        MAXFD = os.sysconf("SC_OPEN_MAX")
    except (ValueError, OSError):
        pass


def is_abstract_socket_namespace(address: str | bytes | None) -> bool:
    """Say whether *address* names a socket without a file (Linux)."""
    if not address:
        return False
    return address[0] in (0, "\0")


def get_temp_dir() -> str:
    """Return a directory of this process that is removed when it exits."""
    directory: str = private_directory()
    return directory


class ForkAwareThreadLock:
    """A thread lock that is free again in a child that this library forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release
        register_after_fork(self, ForkAwareThreadLock._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> bool:
        return self._lock.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._lock.__exit__(*error)


class ForkAwareLocal(threading.local):
    """Thread-local data that is empty in a child that this library forks."""

    def __init__(self) -> None:
        register_after_fork(self, lambda local: local.__dict__.clear())

    def __reduce__(self) -> tuple[type[ForkAwareLocal], tuple[()]]:
        return type(self), ()


def close_all_fds_except(fds: Sequence[int]) -> None:
    """Close every descriptor of this process but *fds*."""
    kept = sorted({-1, MAXFD, *fds})
    for below, above in pairwise(kept):
        os.closerange(below + 1, above)


def spawnv_passfds(path: str | bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
    """Start the program *path* with *args*, inheriting the standard streams and *passfds*; return its pid."""
    if sys.platform == "win32":
        raise NotSupportedError("Windows has no descriptors to pass; start programs by subprocess")
    actions: list[Any] = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in sorted(passfds)]
    return os.posix_spawn(path, list(args), os.environ, file_actions=actions)


def close_fds(*fds: int) -> None:
    """Close *fds*."""
    for fd in fds:
        os.close(fd)


def _cleanup_tests() -> None:
    stop_sharing()
    _run_finalizers()
