"""The fork server (``multiprocessing.forkserver``)."""

from __future__ import annotations

from procession_process import forkserver_preload_report, set_forkserver_preload
from procession_process._launch._zygotes import ensure_running

__all__ = ("ensure_running", "forkserver_preload_report", "set_forkserver_preload")
