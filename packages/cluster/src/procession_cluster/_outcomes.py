"""From what a worker sent to values and exceptions."""

from __future__ import annotations

import pickle

from procession_pool import (
    BrokenPoolError,
    MaybeEncodingError,
    RemoteError,
    RemoteTraceback,
    TaskTimeoutError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def unpack(data: bytes, buffers: list[Any], task: Callable[[int], str], count: int) -> list[tuple[bool, Any]]:
    """Return (success, value or exception) for each task of a chunk; *task* describes the one with an index."""
    try:
        outcomes = pickle.loads(data, buffers=buffers)
    except Exception as error:
        # A result whose unpickling raises: as on the local pool that is what get() raises.
        return [(False, error)] * count
    return [_rebuild(outcome, index, task) for index, outcome in enumerate(outcomes)]


def _rebuild(outcome: tuple[Any, ...], index: int, task: Callable[[int], str]) -> tuple[bool, Any]:
    kind = outcome[0]
    if kind is True:
        return True, outcome[1]
    if kind == "timeout":
        message = (
            f"{task(index)} ran longer than its timeout of {outcome[1]} s; its thread was asked to end, which it does "
            "when it next runs Python code"
        )
        return False, TaskTimeoutError(message, task=task(index), stack=outcome[2])
    if kind == "encoding":
        failure = MaybeEncodingError("", "")
        failure.exc, failure.value = outcome[1], outcome[2]
        failure.args = (failure.exc, failure.value)
        return False, failure
    _, error, text = outcome
    if isinstance(error, tuple):
        error = RemoteError(error[0], error[1], text, error[2])
    error.__cause__ = RemoteTraceback(f'\n"""\n{text}"""')
    if kind is None:
        broken = BrokenPoolError(
            f"the pool's initializer raised {type(error).__name__}: {error}; mend it and make a new pool"
        )
        broken.__cause__ = error
        return False, broken
    return False, error
