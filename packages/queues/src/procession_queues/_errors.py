"""What a queue says when it is used in the wrong state."""

from __future__ import annotations


class QueueStateError(AssertionError):
    """``join_thread()`` before ``close()``. It is an AssertionError because CPython raises that."""


def closed_queue(queue: object) -> ValueError:
    """The error of put and get on a queue that this process has closed."""
    return ValueError(f"Queue {queue!r} is closed in this process: close() comes after its last use")


def report_feeder_error(error: BaseException) -> None:
    """Print an error that nobody is there to catch, as CPython's queues do."""
    import traceback

    traceback.print_exception(error)
