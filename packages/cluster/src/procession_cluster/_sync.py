"""Locks, semaphores and events on the cluster's scheduler."""

from __future__ import annotations

import os
import threading
import uuid

from procession_core import ProcessStateError, ServerDiedError, check_timeout

from ._engine import dask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _scheduler(client: Any) -> dict[str, Any]:
    return {"scheduler_rpc": client.scheduler, "loop": client.loop}


def _gone(why: object) -> ServerDiedError:
    return ServerDiedError(
        f"the Dask scheduler is gone ({why}); what it kept is lost, make a new context once it runs again"
    )


class _Named:
    """Something that the scheduler knows by name; pickles to its name and is opened by whoever loads it.

    The Dask object is made at its first use: a task's arguments are loaded in the worker's event loop,
    which must not wait.
    """

    def __init__(self, engine: Any) -> None:
        self._name = f"procession-{uuid.uuid4().hex}"
        self._client: Any = engine.client
        self._made: Any = None
        engine.check()
        self._dask  # noqa: B018 - a semaphore must exist before it is sent

    @property
    def _dask(self) -> Any:
        if self._made is None:
            if self._client is None:
                self._client = dask().get_client()
            self._made = self._make()
        return self._made

    def _make(self) -> Any:
        """Return the Dask object of this name."""

    def _ask(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the Dask object; ServerDiedError where the scheduler is gone."""
        if self._client is not None and self._client.status != "running":
            raise _gone(self._client.status)
        try:
            return getattr(self._dask, method)(*args, **options)
        except TimeoutError:
            raise
        except OSError as error:
            raise _gone(error) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None, "_made": None}


def _seconds(block: bool, timeout: float | None) -> float | None:
    if not block:
        return 0.0
    return None if timeout is None else max(0.0, check_timeout(timeout) or 0.0)


class Lock(_Named):
    """A lock that any process of the cluster may hold."""

    def _make(self) -> Any:
        return dask().Lock(self._name, **_scheduler(self._client))

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take the lock; False if it could not be had in time."""
        seconds = _seconds(block, timeout)
        # The scheduler answers a timeout of 0 before it looks at the lock.
        return bool(self._ask("acquire", timeout=0.01 if seconds == 0 else seconds))

    def release(self) -> None:
        """Give it back; ValueError if it is not held."""
        try:
            self._ask("release")
        except ServerDiedError:
            raise
        except Exception as error:
            raise ValueError(
                "semaphore or lock released too many times: nobody holds it; release once for each acquire()"
            ) from error

    def locked(self) -> bool:
        """Return whether anybody holds it."""
        return bool(self._ask("locked"))

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *unused: object) -> None:
        self.release()


class RLock(Lock):
    """A lock that the thread which holds it may take again."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self._thread: tuple[int, int] | None = None
        self._held = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_thread": None, "_held": 0}

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take the lock, at once if this thread holds it; False if it could not be had in time."""
        me = (os.getpid(), threading.get_ident())
        if self._thread != me:
            if not super().acquire(block, timeout):
                return False
            self._thread = me
        self._held += 1
        return True

    def release(self) -> None:
        """Undo one acquire(); AssertionError if another thread, or nobody, holds it."""
        if self._thread != (os.getpid(), threading.get_ident()):
            raise ProcessStateError(
                "attempt to release recursive lock not owned by thread; only the thread that took it can release it"
            )
        self._held -= 1
        if not self._held:
            self._thread = None
            super().release()


class Semaphore(_Named):
    """A counting semaphore; a permit of a dead worker comes back when its lease ends."""

    def __init__(self, engine: Any, value: int = 1) -> None:
        if value < 0:
            raise ValueError(f"semaphore initial value must be >= 0, not {value}")
        self._value = value
        super().__init__(engine)

    def _make(self) -> Any:
        return dask().Semaphore(max_leases=self._value, name=self._name, **_scheduler(self._client))

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take a permit; False if there was none in time."""
        return bool(self._ask("acquire", timeout=_seconds(block, timeout)))

    def release(self) -> None:
        """Give a permit back; ValueError if this process holds none."""
        try:
            self._ask("release")
        except (RuntimeError, AssertionError, KeyError, IndexError) as error:
            raise ValueError(
                "semaphore or lock released too many times: this process holds no permit of it; "
                "release once for each acquire() that returned True"
            ) from error

    def get_value(self) -> int:
        """Return how many permits are free."""
        return int(self._value - self._ask("get_value"))

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *unused: object) -> None:
        self.release()


class BoundedSemaphore(Semaphore):
    """Dask's semaphores are bounded: a permit is given back by the process that took it."""


class Event(_Named):
    """A flag that tasks can wait for."""

    def _make(self) -> Any:
        return dask().Event(self._name, client=self._client)

    def is_set(self) -> bool:
        """Return the flag."""
        return bool(self._ask("is_set"))

    def set(self) -> None:
        """Set the flag and wake everybody."""
        self._ask("set")

    def clear(self) -> None:
        """Reset the flag."""
        self._ask("clear")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set; False after *timeout* seconds."""
        return bool(self._ask("wait", timeout=_seconds(True, timeout)))
