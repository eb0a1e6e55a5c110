"""Value, Array, RawValue, RawArray, copy, synchronized."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
