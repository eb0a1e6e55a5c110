"""What a unit counts, and how it says that something went wrong."""

from __future__ import annotations

import os
import signal
from random import Random
from time import monotonic
from typing import Any

PATIENCE = 120.0
"""Seconds after which something that must happen counts as lost."""


class Wrong(AssertionError):
    """An answer that no kill explains."""


def require(truth: object, what: str) -> None:
    """Raise Wrong with *what* unless *truth*."""
    if not truth:
        raise Wrong(what)


class Tally:
    """The figures of one unit."""

    def __init__(self, seed: str, seconds: float) -> None:
        self.random = Random(seed)
        self.end = monotonic() + seconds
        self.operations = 0
        self.kills = 0
        self.lost = 0
        self.rounds = 0

    def more(self) -> bool:
        """Whether another round is to be begun."""
        if monotonic() >= self.end:
            return False
        self.rounds += 1
        return True

    def kill(self, process: Any, stop_first: bool = False) -> None:
        """Kill a process without notice, perhaps out of a stop."""
        pid = process.pid
        if stop_first:
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                return
        process.kill()
        self.kills += 1

    def figures(self) -> dict[str, int]:
        """The figures as they are reported."""
        return {
            "operations": self.operations,
            "kills": self.kills,
            "lost": self.lost,
            "rounds": self.rounds,
        }
