"""Everything at once, for long, with kills and memory pressure: ``python -m tools.soak``."""

from __future__ import annotations
