"""The launcher of start method fork (``multiprocessing.popen_fork``)."""

from __future__ import annotations

from procession_process._launch._fork import Popen

__all__ = ("Popen",)
