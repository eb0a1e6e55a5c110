"""Errors, process identity and state, lifecycle, logging, pickling and deadlines."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
