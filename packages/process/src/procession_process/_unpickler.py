"""``_pickle`` for a fresh child, without what it imports and hardly uses.

While it is imported, ``_pickle`` asks ``functools`` for ``partial`` and for nothing else; ``functools`` imports
``collections``, ``types`` and five more, together a fifth of a spawn. So it is given that one name, from the
module where ``functools`` itself has it from, under a stand-in that is gone when the import is over. If the
interpreter's ``_pickle`` ever asks for more, the import fails and is done again in the usual way.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import pickle
    from types import ModuleType


def _load() -> ModuleType:
    modules = sys.modules
    # Another thread might see the stand-in; only what runs before us (a .pth file) could have started one.
    if "_pickle" not in modules and "functools" not in modules and "threading" not in modules:
        try:
            from _functools import partial  # type: ignore[import-not-found]

            stand_in = type(sys)("functools")
            stand_in.partial = partial  # type: ignore[attr-defined]
            modules["functools"] = stand_in
            try:
                return __import__("_pickle")
            finally:
                del modules["functools"]
        except (ImportError, AttributeError):
            pass
    try:
        return __import__("_pickle")
    except ImportError:
        return __import__("pickle")


if TYPE_CHECKING:
    dumps, loads = pickle.dumps, pickle.loads
else:
    _pickle = _load()
    dumps, loads = _pickle.dumps, _pickle.loads
