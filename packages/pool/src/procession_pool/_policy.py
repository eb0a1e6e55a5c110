"""What a caller asks for around a task: deadlines, retries."""

from __future__ import annotations

import math

from procession_core import WorkerDiedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_MOST_DELAY = 60.0


def check_seconds(name: str, value: Any, zero: bool = False) -> None:
    """Refuse what is no finite number above 0 (with *zero*: or 0). Raises TypeError for no number, else ValueError."""
    text = f"{name}={value!r} is not a number of seconds {'of at least 0' if zero else 'above 0, or None for no limit'}"
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(text)
    if not (value > 0 or (zero and value == 0)) or not math.isfinite(value):
        raise ValueError(text)


def check_names(options: Iterable[str]) -> None:
    """Refuse options of a call that there are not. Raises TypeError."""
    for name in options:
        if name not in Policy.__slots__:
            raise TypeError(
                f"unexpected keyword argument {name!r}; the options of a call are {', '.join(Policy.__slots__)}"
            )


class Policy:
    """Deadlines and retries of the tasks of one call.

    ``timeout``: seconds after which the worker that runs the task is ended and replaced; ``soft_timeout``:
    seconds after which SoftTimeoutError is raised in the task; ``retries``: how often a task that failed with
    one of ``retry_on`` is tried again, after ``backoff`` seconds, doubled each time.

    Raises TypeError and ValueError for what these cannot be.
    """

    __slots__ = ("backoff", "retries", "retry_on", "soft_timeout", "timeout")

    def __init__(
        self,
        timeout: float | None = None,
        soft_timeout: float | None = None,
        retries: int = 0,
        backoff: float = 0.0,
        retry_on: type[BaseException] | Iterable[type[BaseException]] = (WorkerDiedError,),
    ) -> None:
        for name, value in (("timeout", timeout), ("soft_timeout", soft_timeout)):
            if value is not None:
                check_seconds(name, value)
        if not isinstance(retries, int) or retries < 0:
            raise ValueError(f"retries={retries!r} is not an integer of at least 0")
        check_seconds("backoff", backoff, zero=True)
        try:
            kinds = (retry_on,) if isinstance(retry_on, type) else tuple(retry_on)
            good = all(issubclass(kind, BaseException) for kind in kinds)
        except TypeError:
            good = False
        if not good:
            raise TypeError(f"retry_on={retry_on!r} is not a class of exceptions, nor several of them")
        self.timeout = timeout
        self.soft_timeout = soft_timeout
        self.retries = retries
        self.backoff = backoff
        self.retry_on = kinds

    def delay(self, attempt: int) -> float:
        """Return the seconds to wait after failed attempt number *attempt*."""
        return min(self.backoff * 2.0 ** (attempt - 1), _MOST_DELAY)

    @property
    def special(self) -> bool:
        """Whether tasks must be sent one at a time."""
        return self.timeout is not None or self.retries > 0
