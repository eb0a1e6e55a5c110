"""ThreadPool: the pool's interface on threads."""

from __future__ import annotations

from ._crew_threads import ThreadCrew, refuse
from ._pool import Pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ._crew import Crew
    from ._policy import Policy


class ThreadPool(Pool):
    """A pool of worker threads in this process; arguments and results are not pickled.

    *timeout* and *soft_timeout* are refused with NotSupportedError, since threads cannot be stopped from outside.
    For the same reason ``cancel(running=True)`` and ``terminate()`` do not end a call that is running: its result
    is dropped, its thread ends with it, and neither waits for that. ``close()`` and ``join()`` do.
    """

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None:
        super().__init__(processes, initializer, initargs)

    def _make_crew(self, processes: int) -> Crew:
        return ThreadCrew(processes, self._initializer, self._initargs, None)

    def _check_policy(self, policy: Policy) -> None:
        if policy.timeout is not None or policy.soft_timeout is not None:
            raise refuse("a task's timeout")
