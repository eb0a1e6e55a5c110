"""What a caller asks for around a task: deadlines, retries."""

from __future__ import annotations

import math

from procession_core import WorkerDiedError

_MOST_DELAY = 60.0


class Policy:
    """Deadlines and retries of the tasks of one call.

    ``timeout``: seconds after which the worker that runs the task is ended and replaced; ``soft_timeout``:
    seconds after which SoftTimeoutError is raised in the task; ``retries``: how often a task that failed with
    one of ``retry_on`` is tried again, after ``backoff`` seconds, doubled each time.
    """

    __slots__ = ("backoff", "retries", "retry_on", "soft_timeout", "timeout")

    def __init__(
        self,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retries: int = 0,
        backoff: float = 0.0,
        retry_on: tuple[type[BaseException], ...] = (WorkerDiedError,),
    ) -> None:
        for name, value in (("timeout", timeout), ("soft_timeout", soft_timeout)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name}={value!r} is not a number of seconds above 0, or None for no limit")
        if not isinstance(retries, int) or retries < 0:
            raise ValueError(f"retries={retries!r} is not an integer of at least 0")
        if not backoff >= 0:
            raise ValueError(f"backoff={backoff!r} is not a number of seconds of at least 0")
        if isinstance(retry_on, type):
            retry_on = (retry_on,)
        self.timeout = timeout
        self.soft_timeout = soft_timeout
        self.retries = retries
        self.backoff = backoff
        self.retry_on = tuple(retry_on)

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after failed attempt number *attempt*."""
        return min(self.backoff * 2.0 ** (attempt - 1), _MOST_DELAY)

    @property
    def special(self) -> bool:
        """Whether tasks must be sent one at a time."""
        return self.timeout is not None or self.retries > 0
