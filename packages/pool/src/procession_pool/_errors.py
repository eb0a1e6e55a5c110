"""What a task can fail with, and how an exception travels from a worker with its traceback."""

from __future__ import annotations

from procession_core import ProcessError, TimeoutError, WorkerDiedError  # noqa: A004 - the documented name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class PoolPicklingError(NotImplementedError, TypeError):
    """A pool was to be pickled. It belongs to the process that made it."""


class MaybeEncodingError(Exception):
    """A result could not be pickled; ``exc`` and ``value`` are the representations of why and of what."""

    def __init__(self, exc: object, value: object) -> None:
        self.exc = safe_repr(exc)
        self.value = safe_repr(value)
        super().__init__(self.exc, self.value)

    def __str__(self) -> str:
        return f"Error sending result: '{self.value}'. Reason: '{self.exc}'"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


class RemoteTraceback(Exception):
    """The cause of an exception that a worker raised; its text is the traceback there."""

    def __init__(self, tb: str) -> None:
        self.tb = tb

    def __str__(self) -> str:
        return self.tb


class ExceptionWithTraceback:
    """Pickles an exception so that it arrives with its traceback as a RemoteTraceback ``__cause__``."""

    def __init__(self, exc: BaseException, tb: Any) -> None:
        self.exc = exc
        # The frames would keep the task's arguments alive in the worker.
        self.exc.__traceback__ = None
        self.tb = f'\n"""\n{tb if isinstance(tb, str) else format_traceback(exc, tb)}"""'

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild_exc, (self.exc, self.tb)


def rebuild_exc(exc: BaseException, tb: str) -> BaseException:
    """Return *exc* with the text *tb* as its cause."""
    exc.__cause__ = RemoteTraceback(tb)
    return exc


class RemoteError(Exception):
    """Stands in for an exception that a task raised and that could not be pickled or unpickled.

    Attributes: ``type_name`` (qualified name of the real exception's class), ``message`` (its text), ``tb``
    (its traceback as text), ``reason`` (why it could not travel itself).
    """

    def __init__(self, type_name: str, message: str, tb: str, reason: str) -> None:
        super().__init__(type_name, message, tb, reason)
        self.type_name = type_name
        self.message = message
        self.tb = tb
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.type_name}: {self.message} (this exception could not be sent itself: {self.reason})"


class BrokenPoolError(ProcessError, RuntimeError):
    """The pool cannot run tasks any more: its initializer raised, or its workers die before they work.

    The ``__cause__`` is what the initializer raised.
    """


class NotReadyError(ValueError, AssertionError):
    """The outcome of a call was asked for before there was one.

    Today's documentation says ValueError, that of Python 2.6 to 3.6 AssertionError; programs catch either.
    """


class TaskTimeoutError(WorkerDiedError, TimeoutError):
    """A task ran longer than its ``timeout``; its worker was ended and replaced."""


class SoftTimeoutError(TimeoutError):
    """Raised inside a task that has run for its ``soft_timeout``; it may catch it and clean up."""


class CancelledError(ProcessError):
    """The task was cancelled before it had a result."""


class PoisonTaskError(WorkerDiedError):
    """The task has killed a worker on every attempt and is not tried again."""


def safe_repr(obj: object) -> str:
    """Return ``repr(obj)``, or a placeholder where that raises."""
    try:
        return repr(obj)
    except BaseException as error:  # also what ends processes: it would end the one that describes
        return f"<{type(obj).__qualname__} object; its repr() raised {type(error).__name__}>"


def format_traceback(exc: BaseException, tb: Any) -> str:
    """Return the traceback as the interpreter prints it."""
    import traceback

    return "".join(traceback.format_exception(type(exc), exc, tb))


def qualified_name(cls: type) -> str:
    """Return the class's name as tracebacks show it."""
    module = cls.__module__
    return cls.__qualname__ if module in ("builtins", "__main__") else f"{module}.{cls.__qualname__}"
