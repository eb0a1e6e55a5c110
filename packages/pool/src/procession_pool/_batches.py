"""Tasks on their way: with a worker, or come back from one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._crew import Worker
    from ._functions import Function
    from ._results import AsyncResult, Job


class Batch:
    """Tasks that one worker was given in one message."""

    __slots__ = (
        "base",
        "count",
        "function",
        "id",
        "items",
        "job",
        "jobs",
        "mode",
        "position",
        "received",
        "since",
        "start",
        "weight",
        "worker",
    )

    def __init__(self, id: int, job: Job | None, jobs: list[AsyncResult] | None, function: Function, mode: int,
                 items: list[Any], start: int, count: int, base: int) -> None:  # fmt: skip
        self.id = id
        self.job = job
        self.jobs = jobs
        self.function = function
        self.mode = mode
        self.items = items
        self.start = start
        self.count = count
        self.base = base
        self.position = 0
        self.received = 0
        self.since = 0.0
        self.weight = 0
        self.worker: Worker | None = None


_PLAIN = (int, float, bool, str, bytes, type(None))


def describe_batch(batch: Batch) -> str:
    """Say what the first task of a batch is. Runs no foreign code, as the engine's lock is held."""
    job = batch.job if batch.jobs is None else batch.jobs[0]
    item = batch.items[batch.start]
    arguments = item if type(item) is tuple and batch.mode != 0 else (item,)
    where = "" if job is None else f", task {batch.base} of job {job._job}"
    return describe_call(batch.function.name, arguments) + where


def describe_call(name: str, arguments: tuple[Any, ...]) -> str:
    """Say what a call is, without running foreign code."""
    shown = ", ".join(repr(a)[:60] if type(a) in _PLAIN else f"<{type(a).__name__}>" for a in arguments[:6])
    return f"{name}({shown})"


class Leftover:
    """Tasks that came back unbegun, or that are to be tried again: at the head of the queue."""

    __slots__ = ("alone", "base", "count", "function", "items", "job", "jobs", "mode", "start")

    def __init__(self, batch: Batch, first: int, count: int, alone: bool = False) -> None:
        self.job = batch.job
        self.jobs = batch.jobs[first : first + count] if batch.jobs is not None else None
        self.function = batch.function
        self.mode = batch.mode
        self.items = batch.items
        self.start = batch.start + first
        self.count = count
        self.base = batch.base + first
        self.alone = alone

    def live(self) -> bool:
        if self.jobs is not None:
            return any(not job._sealed for job in self.jobs)
        return self.job is not None and not self.job._sealed
