"""The C core: arena, heap, registry, lock words, queue; optional, built where a compiler is."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
