"""Exceptions: one class for each cause, derived from the type that CPython raises in its place."""

from __future__ import annotations


class ProcessError(Exception):
    """The base of all errors that this library has of its own."""


class BufferTooShort(ProcessError):
    """A buffer given to ``recv_bytes_into()`` is too small for the message; ``args[0]`` is the whole
    message.
    """


class TimeoutError(ProcessError):
    """An operation with a timeout has not ended in time."""


class AuthenticationError(ProcessError):
    """The peer of a connection does not know the authentication key, or does not speak the protocol."""


class OwnerDiedError(ProcessError):
    """The process that owned a lock died holding it; the lock is free again.

    ``pid`` and ``name`` say who owned it, ``held_for`` for how many seconds (None where that is not known).
    """

    def __init__(
        self,
        message: str = "",
        pid: int | None = None,
        name: str | None = None,
        held_for: float | None = None,
    ) -> None:
        super().__init__(message)
        self.pid = pid
        self.name = name
        self.held_for = held_for

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (str(self), self.pid, self.name, self.held_for)


class WorkerDiedError(ProcessError):
    """A worker of a pool died while it ran a task; only that task is lost.

    Attributes: ``task`` (what it ran), ``pid``, ``exitcode``, ``signal_name``, ``out_of_memory`` (True where
    the kernel is known to have killed it for memory), ``stack`` (its last Python stack, where known),
    ``attempt``.
    """

    def __init__(
        self,
        message: str = "",
        task: object = None,
        pid: int | None = None,
        exitcode: int | None = None,
        signal_name: str | None = None,
        out_of_memory: bool | None = None,
        stack: str | None = None,
        attempt: int = 1,
    ) -> None:
        super().__init__(message)
        self.task = task
        self.pid = pid
        self.exitcode = exitcode
        self.signal_name = signal_name
        self.out_of_memory = out_of_memory
        self.stack = stack
        self.attempt = attempt

    def __reduce__(self) -> tuple[object, ...]:
        state = (
            self.task,
            self.pid,
            self.exitcode,
            self.signal_name,
            self.out_of_memory,
            self.stack,
            self.attempt,
        )
        return type(self), (str(self), *state)


class PeerDiedError(ProcessError, EOFError):
    """The process at the other end of a connection is gone in the middle of a message."""


class ServerDiedError(ProcessError, EOFError, ConnectionError):
    """The manager's server process is gone."""


class ForeignTreeError(RuntimeError):
    """A shared object belongs to another process tree, whose memory this process does not have."""


class StaleHandleError(RuntimeError):
    """A pickled handle names a shared object that has been freed since."""


class NotSupportedError(RuntimeError):
    """This platform, or the portable variant, cannot do what was asked."""


class InheritanceError(RuntimeError):
    """An object of the portable variant was pickled outside the start of a child."""


class ProcessStateError(AssertionError):
    """A Process was used in a state, or from a process, that does not allow the operation."""
