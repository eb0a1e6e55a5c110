"""The cases, one module a family; a child imports only the family that it measures."""

from __future__ import annotations

from bench._load import module
from bench._measure import CASES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bench._measure import Case

FAMILIES = {
    "import": "imports",
    "process": "process",
    "pipe": "pipe",
    "queue": "queues",
    "simplequeue": "queues",
    "joinablequeue": "queues",
    "sync": "sync",
    "shared": "shared",
    "shm": "shm",
    "pool": "pool",
    "manager": "manager",
    "connection": "connection",
    "scale": "scaling",
}


def load_case(name: str) -> Case:
    """The function of the case ``name``; raises KeyError if there is none."""
    module("bench.cases." + FAMILIES[name.partition(".")[0]])
    return CASES[name]


def load_all() -> dict[str, Case]:
    """Every case by its name."""
    for family in sorted(set(FAMILIES.values())):
        module("bench.cases." + family)
    return CASES
