"""The thread that fetches results from the cluster and runs callbacks.

One request for all results that are ready: asked for one by one, a thousand small results cost a thousand round trips.
"""

from __future__ import annotations

import threading
from functools import partial
from queue import Empty, SimpleQueue

from procession_pool._report import unraisable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Done = Callable[[Any, BaseException | None], object]

_MOST = 4096
"""Results asked for at once."""


class Collector:
    """Takes the futures of tasks and calls ``done(value, error)`` for each; made for one client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._events: SimpleQueue[tuple[Any, Any] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._guard = threading.Lock()

    def _start(self) -> None:
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="procession-cluster", daemon=True)
                self._thread.start()

    def watch(self, future: Any, done: Done) -> None:
        """Call ``done(value, None)`` or ``done(None, error)`` when the task is over."""
        self._start()
        future.add_done_callback(partial(self._over, done))

    def _over(self, done: Done, future: Any) -> None:
        self._events.put((done, future))

    def call(self, function: Callable[[], object]) -> None:
        """Call *function* in the thread; what it raises is reported as that of a finaliser is."""
        self._start()
        self._events.put((function, None))

    def stop(self) -> None:
        """End the thread when it has done what was asked so far."""
        with self._guard:
            if self._thread is not None:
                self._events.put(None)

    def _run(self) -> None:
        while True:
            events = [self._events.get()]
            try:
                while len(events) < _MOST:
                    events.append(self._events.get_nowait())
            except Empty:
                pass
            stop = None in events
            found = [event for event in events if event is not None]
            del events
            self._handle(found)
            if stop:
                return

    def _handle(self, events: list[tuple[Any, Any]]) -> None:
        values = self._fetch([f for _, f in events if f is not None and f.status == "finished"])
        while events:
            function, future = events.pop(0)
            try:
                if future is None:
                    function()
                elif future.key in values:
                    function(values.pop(future.key), None)
                else:
                    function(*_alone(future))
            except BaseException as error:
                unraisable(function, error)

    def _fetch(self, futures: Iterable[Any]) -> dict[Any, Any]:
        """Return key -> value; empty where anything fails: then each is asked for by itself."""
        wanted = {future.key: future for future in futures}
        if not wanted:
            return {}
        try:
            return dict(zip(wanted, self._client.gather(list(wanted.values())), strict=True))
        except Exception:
            return {}


def _alone(future: Any) -> tuple[Any, BaseException | None]:
    try:
        return future.result(), None
    except BaseException as error:
        return None, error
