"""Contexts and the process classes they start (``multiprocessing.context``)."""

from __future__ import annotations

from procession_core import AuthenticationError, BufferTooShort, ProcessError
from procession_core import TimeoutError as TimeoutError  # noqa: A004 - the documented name
from procession_process import ForkProcess, ForkServerProcess, Process, SpawnProcess

from ._base_context import BaseContext
from ._base_context import concrete_contexts as _concrete_contexts
from ._contexts import DefaultContext, ForkContext, ForkServerContext, SpawnContext
from ._contexts import default_context as _default_context
from ._spawning import assert_spawning, get_spawning_popen, set_spawning_popen

__all__ = (
    "AuthenticationError",
    "BaseContext",
    "BufferTooShort",
    "DefaultContext",
    "ForkContext",
    "ForkProcess",
    "ForkServerContext",
    "ForkServerProcess",
    "Process",
    "ProcessError",
    "SpawnContext",
    "SpawnProcess",
    "TimeoutError",
    "_concrete_contexts",
    "_default_context",
    "assert_spawning",
    "get_spawning_popen",
    "set_spawning_popen",
)
