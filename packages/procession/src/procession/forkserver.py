"""The fork server (``multiprocessing.forkserver``)."""

from __future__ import annotations

import sys

if sys.platform != "linux":
    raise ImportError("procession.forkserver needs Linux")

from procession_process import forkserver_preload_report, set_forkserver_preload
from procession_process._launch import _zygotes
from procession_process._launch._zygotes import ensure_running

__all__ = ("ForkServer", "ensure_running", "forkserver_preload_report", "set_forkserver_preload")


class ForkServer:
    """The fork server that this process uses."""

    ensure_running = staticmethod(ensure_running)
    set_forkserver_preload = staticmethod(set_forkserver_preload)

    @property
    def _forkserver_pid(self) -> int | None:
        connection = _zygotes._connection
        return None if connection is None else connection.zygote

    def _stop(self) -> None:
        """End the fork server; the next start makes a new one. Its children live on."""
        if _zygotes._connection is not None:
            _zygotes._connection.bury()


_forkserver = ForkServer()
