"""The engine's lock, which is held only in stretches that no KeyboardInterrupt breaks off.

An interrupt between reading results and delivering them would lose those of every caller, and leave workers that
nobody knows to be idle. So in the main thread SIGINT waits while the lock is held, or while the thread leads; it is let
through where a caller waits. A second one is let through at once.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # the C module: `signal` would import enum
import os
import time
from _thread import allocate_lock, get_ident

from procession_shm import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

core: Any = native


class _Shield:
    """What the core does with SIGINT, by means of Python: slower, and not while another thread swaps the handler."""

    def __init__(self) -> None:
        self._depth = 0
        self._noted = False
        self._former: Any = None
        self._thread = 0

    def on(self) -> None:
        """From here to off() a first SIGINT waits; in the main thread, elsewhere nothing. Nests."""
        if self._depth and self._thread != get_ident():
            return
        if not self._depth:
            former = _signal.getsignal(_signal.SIGINT)
            if not callable(former):
                return
            try:
                _signal.signal(_signal.SIGINT, self._interrupted)
            except ValueError:  # not the main thread, whose note this one must not touch
                return
            self._former = former
            self._thread = get_ident()
        self._depth += 1

    def off(self) -> None:
        """The end of it: what has come is raised now."""
        if not self._depth or self._thread != get_ident():
            return
        if self._depth > 1:
            self._depth -= 1
            return
        self._depth = 0
        _signal.signal(_signal.SIGINT, self._former)
        # Only now, when no more are noted.
        noted, self._noted = self._noted, False
        if noted:
            _signal.raise_signal(_signal.SIGINT)

    def _interrupted(self, number: int, frame: Any) -> None:
        if self._noted:
            self._noted = False
            self._former(number, frame)
        self._noted = True


class PortableGuard:
    """The lock, and who leads; see ``procession_native._core.Guard``."""

    def __init__(self, foreign: BaseException) -> None:
        self._foreign = foreign
        self._pid = os.getpid()
        self._lock = allocate_lock()
        self._lead = allocate_lock()
        self.owner = 0
        self.leader = 0

    def enter(self) -> None:
        """Take the lock; until leave() an interrupt waits."""
        if self._pid != os.getpid():
            raise self._foreign
        if self.mine():
            raise RuntimeError(
                "a pool cannot be waited for by what it pickles or unpickles, or by a finaliser that runs meanwhile"
            )
        shield_on()
        try:
            self._lock.acquire()
        except BaseException:  # a second interrupt
            shield_off()
            raise
        self.owner = get_ident()

    def leave(self) -> None:
        """Give it back."""
        self.owner = 0
        self._lock.release()
        shield_off()

    def mine(self) -> bool:
        """Whether this thread has the lock."""
        return self.owner == get_ident()

    def take_lead(self) -> bool:
        """Become the leader, if there is none; until shield_off() an interrupt waits."""
        if self._pid != os.getpid():
            raise self._foreign
        shield_on()
        if not self._lead.acquire(False):
            shield_off()
            return False
        self.leader = get_ident()
        return True

    def drop_lead(self) -> None:
        """Be the leader no more; shield_off() is still to come."""
        self.leader = 0
        self._lead.release()


if core is not None:
    Guard: Any = core.Guard
    shield_on: Any = core.shield_on
    shield_off: Any = core.shield_off
else:
    _shield = _Shield()
    Guard = PortableGuard
    shield_on = _shield.on
    shield_off = _shield.off


_LOOK = 0.5
"""Seconds after which a waiting thread looks for signals. Python runs its handlers between instructions; the wait for a
lock is not ended by a signal that comes in the moment before it begins, or that another thread receives."""


def unshielded(acquire: Callable[[bool, float], bool], timeout: float) -> bool:
    """Return ``acquire(True, timeout)``, which an interrupt may break off; a timeout below 0 is none."""
    try:
        shield_off()
        while timeout < 0:
            if acquire(True, _LOOK):
                return True
        deadline = time.monotonic() + timeout
        while timeout > _LOOK:
            if acquire(True, _LOOK):
                return True
            timeout = deadline - time.monotonic()
        return acquire(True, max(0.0, timeout))
    finally:
        shield_on()
