"""Contexts, lazy names, the documented module layout and the command line."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
