"""The pool's one thread: callbacks, deaths, deadlines, and results that nobody waits for."""

from __future__ import annotations

import time

from ._engine import CLOSE, TERMINATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._engine import Engine


def supervise(engine: Engine) -> None:
    """Body of the thread. It knows the engine, not the pool, so that a forgotten pool can be collected."""
    crew = engine.crew
    timeout: float | None = 0.0
    while True:
        if engine.forgotten:
            engine.terminate()
        gone = crew.wait(engine, timeout)
        engine._soon = False
        engine.enter()
        try:
            if engine.state == TERMINATE:
                break
            for worker in gone:
                engine.worker_gone(worker)
            engine._pump()
            if engine._deadlines or engine._delayed:
                engine.check_deadlines()
            crew.tend(engine)
            if engine.state == CLOSE and crew.stopping and not engine.workers:
                break
            deadline = engine.next_deadline()
        finally:
            engine.leave()
        engine.run_callbacks()
        if engine.callbacks:
            timeout = 0.0
        else:
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
    engine.run_callbacks()
    crew.kill_all(engine)
    crew.dispose()
