"""The multiprocessing API on threads."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
