"""Process: a task of its own on the cluster."""

from __future__ import annotations

import itertools

from procession_core import ProcessStateError, check_timeout

from ._remote import run_process
from ._sending import submit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

_numbers = itertools.count(1)


class Process:
    """Runs *target* as one task; Dask chooses the worker.

    What differs from a local process: it has no pid, and terminate() cannot stop a task that has begun.
    """

    def __init__(
        self,
        engine: Any,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = {},
        *,
        daemon: bool | None = None,
    ) -> None:
        if group is not None:
            raise ProcessStateError(f"group argument must be None for now, not {group!r}")
        self._engine = engine
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs)
        self.name = name or f"DaskProcess-{next(_numbers)}"
        self.daemon = bool(daemon)
        self._future: Any = None
        self._terminated = False

    def start(self) -> None:
        """Submit the task. Raises AssertionError when called twice."""
        if self._future is not None:
            raise ProcessStateError("cannot start a process twice; make a new Process object")
        self._engine.check()
        import cloudpickle

        work = cloudpickle.dumps((self._target or (lambda: None), self._args, self._kwargs))
        self._future = submit(self._engine.client, self.name, run_process, work)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the task is over, at most *timeout* seconds. Raises ServerDiedError if the scheduler dies."""
        if self._future is None:
            raise ProcessStateError("can only join a started process; call start() first")
        try:
            self._future.exception(timeout=None if timeout is None else check_timeout(timeout))
        except TimeoutError:
            pass
        except Exception as error:
            if not self._terminated and type(error).__name__ != "KilledWorker":
                raise self._engine.translate(error, self.name) from error
        else:
            if not self._terminated and self._future.status in ("cancelled", "lost"):
                self._engine.check()

    def is_alive(self) -> bool:
        """Return whether the task was started and is not over."""
        return self._future is not None and not self._terminated and not self._future.done()

    @property
    def exitcode(self) -> int | None:
        """None while it runs; 0, 1 or what SystemExit said; -15 after terminate(); -9 if its workers
        died.
        """
        if self._terminated:
            return -15
        if self._future is None or not self._future.done():
            return None
        try:
            return int(self._future.result())
        except Exception:
            return -9

    def terminate(self) -> None:
        """Cancel the task; one that runs already cannot be interrupted by Dask and ends by itself."""
        if self.is_alive():
            self._terminated = True
            self._engine.client.cancel([self._future], force=True)

    kill = terminate

    def close(self) -> None:
        """Forget the task; ValueError while it runs."""
        if self.is_alive():
            raise ValueError(
                "Cannot close a process while it is still running. You should first call join() or terminate()."
            )
        self._future = None
