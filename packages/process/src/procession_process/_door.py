"""The descriptor by which descendants of a fork server reach it. Every process it forked has one."""

from __future__ import annotations

door = -1
"""The write end of the fork server's door in this process, or -1."""
