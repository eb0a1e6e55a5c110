"""``multiprocessing``, on one shared arena: the documented namespace, assembled from the leaf distributions.

Importing this loads none of them; each name is fetched when it is first used (PEP 562).
"""

from __future__ import annotations

from ._lazy import lookup
from ._names import MODULES as _MODULES
from ._names import NAMES as _NAMES

__all__ = tuple(_NAMES)


def __getattr__(name: str) -> object:
    found = globals()[name] = lookup(name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_MODULES, "reducer"})
