"""Callers that wait: the first collects the results, the others are told."""

from __future__ import annotations

import time
from _thread import allocate_lock

from ._engine_collect import EngineCollect
from ._engine_state import LAZY_WAIT, WAKE_ALWAYS, WAKE_IDLE
from ._guard import shield_off, shield_on, unshielded
from ._iterators import IMapIterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._iterators import IMapIterator
    from ._results import Job


class EngineWaiting(EngineCollect):
    """The engine's part that waits."""

    def wait_for(self, job: Any, timeout: float | None) -> None:
        """Wait until ``job`` is over (an iterator: has a result); collect results meanwhile."""
        ready = job._ready if isinstance(job, IMapIterator) else None
        deadline = None if timeout is None else time.monotonic() + timeout
        followed = False
        try:
            while not (job._over if ready is None else ready()):
                if self._guard.take_lead():
                    try:
                        self.hub.lead(True)
                        if self._lead_until(job, ready, deadline):
                            return
                    finally:
                        self._end_lead()
                else:
                    followed = True
                    self._follow(job, ready, deadline)
                if deadline is not None and time.monotonic() >= deadline:
                    return
        finally:
            if followed and self._followers:
                # Maybe this one was told to lead, and need not any more.
                self._hand_over()

    def _lead_until(self, job: Any, ready: Any, deadline: float | None, fresh: bool = False) -> bool:
        hub = self.hub
        mode = WAKE_ALWAYS
        while True:
            if fresh:
                fresh = False
            else:
                self.pump()
            if job._over if ready is None else ready():
                return True
            left = -1.0
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return True
            if self._in_flight > len(self.workers) and mode != WAKE_ALWAYS:
                wait = LAZY_WAIT if left < 0 else min(LAZY_WAIT, left)
                if not hub.wait(self.channels, WAKE_IDLE, wait):
                    mode = WAKE_ALWAYS
            else:
                if hub.wait(self.channels, WAKE_ALWAYS, left):
                    mode = WAKE_IDLE

    def _end_lead(self) -> None:
        # An interrupt waits until the last of these.
        try:
            self.hub.lead(False)
            self._guard.drop_lead()
            if self._followers or self._queue or self.urgent:
                self._hand_over()
        finally:
            shield_off()

    def _follow(self, job: Any, ready: Any, deadline: float | None) -> None:
        lock = allocate_lock()
        lock.acquire()
        entry = (job, lock)
        shield_on()
        try:
            self.enter()
            try:
                # In this order: a leader that leaves looks for followers after it has ceased to be one.
                self._followers.append(entry)
                if not self._guard.leader or (job._over if ready is None else ready()):
                    self._followers.remove(entry)
                    return
            finally:
                self.leave()
            try:
                left = -1 if deadline is None else max(0.0, deadline - time.monotonic())
                unshielded(lock.acquire, left)
            finally:
                self.enter()
                try:
                    if entry in self._followers:
                        self._followers.remove(entry)
                finally:
                    self.leave()
        finally:
            shield_off()

    def _pass_on(self) -> None:
        # Under the lock.
        if self._followers and not self._guard.leader:
            lock = self._followers.pop(0)[1]
            if lock.locked():
                lock.release()

    def _hand_over(self) -> None:
        # The next one leads, or the pool's thread looks after what nobody waits for.
        if self._followers:
            self.enter()
            try:
                if self._followers:
                    self._pass_on()
                    return
            finally:
                self.leave()
        if (self._queue or self.urgent) and self.hub.any(self.channels):
            self.crew.wake()

    def add_hook(self, job: Job, hook: Callable[[Job], object]) -> None:
        """Call ``hook(job)`` in the pool's thread when the job is over; now if it is."""
        self.enter()
        try:
            if not job._over:
                if job._hooks is None:
                    job._hooks = []
                    self.urgent += 1
                job._hooks.append(hook)
                self._pump()
                return
        finally:
            self.leave()
        hook(job)

    def when_ready(self, job: IMapIterator, watcher: Callable[[Any], object]) -> bool:
        """Call ``watcher(job)`` once a result is there; False if one is there already."""
        self.enter()
        try:
            self._pump()
            if job._ready():
                return False
            self._watchers.setdefault(job, []).append(watcher)
            self.urgent += 1
            self._tidy()
            return True
        finally:
            self.leave()
