"""The children of this process that were started and not yet found to have ended."""

from __future__ import annotations

from procession_core import info, set_children_ender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

started: set[Any] = set()


def reap() -> None:
    """Join the children that have ended, without blocking."""
    for process in list(started):
        popen = process._popen
        if popen is None or popen.poll() is not None:
            started.discard(process)


def end_children() -> None:
    """At exit: terminate the daemonic children, then join all."""
    reap()
    for process in list(started):
        if process.daemon:
            info("calling terminate() for daemon %s", process.name)
            process._popen.terminate()
    for process in list(started):
        info("calling join() for process %s", process.name)
        process.join()


set_children_ender(end_children)
