"""The worker of pools whose subclass brings its own queues, as joblib's and torch's do."""

from __future__ import annotations

import sys

from procession_core import debug

from ._errors import ExceptionWithTraceback, MaybeEncodingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def worker(
    inqueue: Any,
    outqueue: Any,
    initializer: Callable[..., object] | None = None,
    initargs: tuple[Any, ...] = (),
    maxtasks: int | None = None,
    wrap_exception: bool = False,
) -> None:
    """Take tasks (job, index, function, args, kwargs) from *inqueue* until None comes, put (job, index,
    (success, value)) into *outqueue*.
    """
    for queue, end in ((inqueue, "_writer"), (outqueue, "_reader")):
        connection = getattr(queue, end, None)
        if connection is not None:
            connection.close()
    if initializer is not None:
        initializer(*initargs)
    done = 0
    while maxtasks is None or done < maxtasks:
        try:
            task = inqueue.get()
        except (EOFError, OSError):
            debug("worker got EOFError or OSError -- exiting")
            break
        if task is None:
            debug("worker got sentinel -- exiting")
            break
        job, index, function, args, kwargs = task
        try:
            result: tuple[bool, Any] = (True, function(*args, **kwargs))
        except Exception as error:
            result = (False, ExceptionWithTraceback(error, error.__traceback__) if wrap_exception else error)
        try:
            outqueue.put((job, index, result))
        except Exception as error:
            outqueue.put((job, index, (False, MaybeEncodingError(error, result[1]))))
        task = job = result = function = args = kwargs = None  # type: ignore[assignment]
        done += 1
    debug("worker exiting after %d tasks", done)
    sys.stdout.flush()


def call_chunk(function: Callable[..., Any], items: list[Any]) -> list[Any]:
    """Return the results of a chunk."""
    return [function(item) for item in items]


def call_star_chunk(function: Callable[..., Any], items: list[Any]) -> list[Any]:
    """Return the results of a chunk of argument tuples."""
    return [function(*item) for item in items]
