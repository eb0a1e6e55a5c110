"""Figures of a pool."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._engine import Engine


def pool_stats(engine: Engine) -> dict[str, Any]:
    """Return what ``Pool.stats()`` documents."""
    now = time.monotonic()
    now_ns = time.monotonic_ns()
    workers = []
    for worker in engine.workers:
        started, busy, done, waited, *_ = worker.channel.state()
        workers.append(
            {
                "pid": worker.pid,
                "tasks": done,
                "busy": busy * 1e-9,
                "waiting": waited * 1e-9,
                "alive": now - worker.began,
                "slowest": worker.slowest if worker.slowest_task is not None else None,
                "slowest_task": worker.slowest_task,
                "running_for": (now_ns - started) * 1e-9 if started else None,
            }
        )
    return {
        "tasks": engine.finished + sum(w["tasks"] for w in workers),
        "deaths": engine.deaths.count,
        "queued": engine.queued(),
        "running": sum(1 for worker in engine.workers if worker.sent),
        "poisonous": list(engine.deaths.poisonous),
        "workers": workers,
    }
