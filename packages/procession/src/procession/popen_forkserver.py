"""The launcher of start method forkserver (``multiprocessing.popen_forkserver``)."""

from __future__ import annotations

from procession_process._launch._forkserver import Popen

__all__ = ("Popen",)
