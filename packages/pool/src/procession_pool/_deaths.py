"""What is known about workers that died, as errors."""

from __future__ import annotations

from procession_core import WorkerDiedError

from ._errors import PoisonTaskError, TaskTimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._crew import Worker

_MOST_POISON = 100


class DeathRecords:
    """Makes the errors of tasks whose worker died, and remembers the tasks that kill every worker."""

    def __init__(self) -> None:
        self.count = 0
        self.poisonous: list[str] = []

    def describe(self, worker: Worker, task: str, attempt: int) -> WorkerDiedError:
        """Return the error for the task that *worker* ran when it died."""
        self.count += 1
        evidence = worker.evidence()
        how = evidence.how
        hint = evidence.hint
        kind: type[WorkerDiedError] = WorkerDiedError
        if worker.timed_out:
            kind = TaskTimeoutError
            how = f"ended because {worker.end_reason}"
            hint = ""
        elif worker.end_reason and not evidence.out_of_memory:
            how = f"ended because {worker.end_reason}"
            hint = ""
        message = f"worker {worker.pid} died ({how}) while it ran {task}, attempt {attempt}{hint}"
        if evidence.stack:
            message = f"{message}\nIts last stack:\n{evidence.stack}"
        return kind(
            message,
            task,
            worker.pid,
            evidence.exitcode,
            evidence.signal_name,
            evidence.out_of_memory,
            evidence.stack,
            attempt,
        )

    def poison(self, error: BaseException, attempts: int) -> BaseException:
        """Return the error of a task whose last attempt failed too."""
        if not isinstance(error, WorkerDiedError) or isinstance(error, TaskTimeoutError):
            return error
        self.poisonous.append(str(error.task))
        del self.poisonous[:-_MOST_POISON]
        final = PoisonTaskError(
            f"{error.task} has ended a worker on each of {attempts} attempts and is not tried again; the last: {error}",
            error.task,
            error.pid,
            error.exitcode,
            error.signal_name,
            error.out_of_memory,
            error.stack,
            error.attempt,
        )
        final.__cause__ = error
        return final
