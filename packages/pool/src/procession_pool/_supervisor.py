"""The pool's one thread: callbacks, deaths, deadlines, and results that nobody waits for."""

from __future__ import annotations

import time
from _thread import allocate_lock, get_ident, start_new_thread

from ._engine import CLOSE, TERMINATE
from ._report import unraisable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._engine import Engine


def supervise(engine: Engine) -> None:
    """Body of the thread. It knows the engine, not the pool, so that a forgotten pool can be collected."""
    crew = engine.crew
    timeout: float | None = None
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


class SupervisorThread:
    """The thread. Not a threading.Thread, whose start() would wait until it runs: a pool starts faster so."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._over = allocate_lock()
        self._ident = 0

    def start(self) -> None:
        """Start it; does not wait."""
        self._over.acquire()
        start_new_thread(self._run, ())

    def _run(self) -> None:
        self._ident = get_ident()
        engine = self._engine
        try:
            supervise(engine)
        except BaseException as error:  # nobody would look after deaths and deadlines any more
            unraisable(self, error)
            engine.collapse(error)
            engine.crew.kill_all(engine)
            engine.crew.dispose()
        finally:
            self._over.release()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most *timeout* seconds; does nothing in the thread itself."""
        if self._ident == get_ident():
            return
        if self._over.acquire(True, -1 if timeout is None else timeout):
            self._over.release()

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._over.locked()
