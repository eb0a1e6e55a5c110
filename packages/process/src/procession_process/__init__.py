"""Process, start methods, active_children, current_process, parent_process, freeze_support."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
