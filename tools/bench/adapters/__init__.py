"""Thin layers over implementations that do not have the shape of ``multiprocessing``."""

from __future__ import annotations

__all__ = ()
