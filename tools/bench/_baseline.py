"""The rows with their floors and goals, as ``baseline.toml`` holds them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).with_name("baseline.toml")


class Row(NamedTuple):
    """One line of the baseline; ``goal`` and ``floor`` are ratios against the stdlib."""

    case: str
    what: str
    unit: str
    goal: float
    floor: float
    judged: str

    def verdict(self, ratio: float | None, mode: str) -> str:
        """``goal``, ``floor`` or ``BELOW``; empty where the row is not judged in this mode."""
        if ratio is None or mode != self.judged:
            return ""
        if ratio >= self.goal:
            return "goal"
        return "floor" if ratio >= met_from(self.floor) else "BELOW"


def _read() -> tuple[dict[str, Row], float]:
    with PATH.open("rb") as file:
        data = tomllib.load(file)
    rows = {
        case: Row(
            case=case,
            what=row["what"],
            unit=row["unit"],
            goal=float(row["goal"]),
            floor=float(row["floor"]),
            judged=row["judged"],
        )
        for case, row in data["rows"].items()
    }
    return rows, float(data["floor_of_one_is_met_from"])


ROWS, _ONE_IS_MET_FROM = _read()


def met_from(floor: float) -> float:
    """The ratio from which a floor counts as met: noise is allowed for where level is asked."""
    return _ONE_IS_MET_FROM if floor == 1 else floor
