"""Which task a worker is in, for its log."""

from __future__ import annotations

from ._batches import describe_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_wanted = False
_call: tuple[Callable[..., Any], tuple[Any, ...]] | None = None


class _Watched:
    """Calls a function and remembers that it does."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        global _call
        _call = (self._function, args)
        try:
            return self._function(*args, **kwargs)
        finally:
            _call = None


def watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a worker is to call for *function*: itself, unless somebody wants to know of its calls."""
    return _Watched(function) if _wanted else function


def current_task() -> str:
    """Return which task this worker is in, as ``resize('a.jpg')``; the empty string between tasks.

    Strings, bytes and numbers are shown, of other arguments the type. Needs ``log_tasks()`` to have been called.
    """
    if _call is None:
        return ""
    function, args = _call
    return describe_call(getattr(function, "__qualname__", None) or type(function).__qualname__, args)


def log_tasks() -> None:
    """Tell every log record of this worker which task it comes from, as its attribute ``poolTask``.

    To be called in the pool's initializer, or to be it: ``Pool(initializer=log_tasks)``. A format may then use
    ``%(poolTask)s``, which is what ``current_task()`` returns. Records that go to the parent's log carry it too.
    """
    global _wanted
    import logging

    if _wanted:
        return
    _wanted = True
    make = logging.getLogRecordFactory()

    def make_with_task(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.poolTask = current_task()
        return record

    logging.setLogRecordFactory(make_with_task)
