"""What a case is made of: its sample, its scale, the timing helpers and the registry.

Imported by every measured child, also by spawned ones, so it imports as little as it can: what is
imported here is added to both sides of ``process.spawn``.
"""

from __future__ import annotations

from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Case = Callable[[Any, "Scale"], "Sample"]


class WrongResult(Exception):
    """A case computed something else than it must: the measurement counts as failed."""


class Unsupported(Exception):
    """The implementation has nothing comparable for this case: the measurement is skipped."""


class Sample:
    """One measured value.

    ``value`` is in ``unit``; ``extras`` are further figures of the same run (numbers only). Units that
    end in ``/s`` and percentages are better when higher, all others when lower.
    """

    __slots__ = ("extras", "unit", "value")

    def __init__(self, value: float, unit: str, **extras: float) -> None:
        self.value = value
        self.unit = unit
        self.extras = extras

    @property
    def higher_is_better(self) -> bool:
        """Whether more of this unit is better."""
        return higher_is_better(self.unit)


def higher_is_better(unit: str) -> bool:
    """Whether more of ``unit`` is better: rates and percentages."""
    return unit.endswith("/s") or unit == "%"


class Scale:
    """How long and how large a case runs.

    ``min_seconds`` is what a timed stretch should last; ``quick`` picks the smaller fixed sizes.
    """

    __slots__ = ("min_seconds", "quick")

    def __init__(self, min_seconds: float = 0.3, quick: bool = False) -> None:
        self.min_seconds = min_seconds
        self.quick = quick

    @property
    def window(self) -> float:
        """Seconds for processes that compete: long enough to hold several time slices of each."""
        return max(self.min_seconds, 0.15)

    def pick(self, full: int, quick: int) -> int:
        """A fixed size: ``full``, or ``quick`` in a quick run."""
        return quick if self.quick else full


CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    """Register a function as the case ``name``."""

    def register(function: Case) -> Case:
        if name in CASES:
            raise ValueError(f"the case {name!r} is defined twice; rename one of them")
        CASES[name] = function
        return function

    return register


def check(condition: object, message: str) -> None:
    """Raise ``WrongResult(message)`` unless ``condition`` holds."""
    if not condition:
        raise WrongResult(message)


def median(values: Sequence[float]) -> float:
    """The middle value (``statistics`` would import decimal and fractions)."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def grow(run: Callable[[int], float], start: int, scale: Scale, cap: int = 1 << 40) -> tuple[int, float]:
    """Call ``run(n)``, which returns its seconds, with growing n until it lasts long enough.

    Returns the last n and its seconds. Every call but the last warms up what it uses.
    """
    n = min(start, cap)
    seconds = run(n)
    while seconds < 0.7 * scale.min_seconds and n < cap:
        factor = 1.2 * scale.min_seconds / max(seconds, 1e-7)
        n = min(cap, int(n * min(30.0, max(1.5, factor))) + 1)
        seconds = run(n)
    return n, seconds


def rate(run: Callable[[int], float], start: int, scale: Scale, cap: int = 1 << 40) -> float:
    """Operations per second of ``run(n)``: the middle one of three stretches.

    Not the best one: where processes feed each other, the scheduler's luck is part of the rate.
    """
    stretch = Scale(scale.min_seconds / 2, scale.quick)
    n, seconds = grow(run, start, stretch, cap)
    return n / median([seconds, run(n), run(n)])


def per_call(loop: Callable[[int], object], scale: Scale, start: int = 200, cap: int = 1 << 40) -> float:
    """Seconds per operation of ``loop(n)``, which does n of them: the second best of six stretches.

    Other work on the machine only ever adds time; the very best may be luck where two processes take part.
    """

    def run(n: int) -> float:
        began = perf_counter()
        loop(n)
        return perf_counter() - began

    stretch = Scale(scale.min_seconds / 6, scale.quick)
    n, seconds = grow(run, start, stretch, cap)
    return sorted([seconds, *(run(n) for _ in range(5))])[1] / n


def each(action: Callable[[], float], times: int) -> float:
    """The median of ``times`` calls of ``action``, which returns its own seconds."""
    return median([action() for _ in range(times)])
