"""The benchmark runner: named shapes, implementations side by side, ratios against the stdlib.

Run ``python tools/bench --help``. The rows, their floors and goals are in ``baseline.toml``; the code
of a row is in ``cases/<family>.py``; what an implementation is and how it is loaded is in ``_impls.py``.
"""

from __future__ import annotations

__all__ = ()
