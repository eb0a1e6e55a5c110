"""The launcher of start method spawn (``multiprocessing.popen_spawn_win32``)."""

from __future__ import annotations

from procession_process._launch._spawn import Popen

__all__ = ("Popen",)
