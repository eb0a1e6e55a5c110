"""Start method spawn: a fresh interpreter."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    raise ImportError("procession_process._launch._spawn needs POSIX; _windows is its sibling")

from .._bootstrap import flush_streams
from .._methods import have_pidfd
from .._native import reserve, started
from ._interpreter import spawn_interpreter
from ._payload import SpawnTransfer, as_file, build
from ._popen import BasePopen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Popen(BasePopen):
    """A child in a fresh interpreter."""

    method = "spawn"

    def _launch(self, process: Any) -> None:
        flush_streams()  # what was printed before the start stands before what the child prints
        transfer = SpawnTransfer(reserve(process.name))
        try:
            data, self._stack_fd = build(transfer, process, self.method)
            transfer.fds.append(as_file(data))
            if have_pidfd():
                self._adopt(spawn_interpreter("_child", transfer.fds))
            else:
                self._launch_with_pipe(transfer)
            started(transfer.slot, self.pid)
        except BaseException:
            transfer.fail()
            raise
        transfer.close()

    def _launch_with_pipe(self, transfer: SpawnTransfer) -> None:
        reads, writes = os.pipe()
        try:
            self.pid = spawn_interpreter("_child", transfer.fds, (writes,))
        except BaseException:
            os.close(reads)
            os.close(writes)
            raise
        os.close(writes)
        self.sentinel, self._sentinel_is_pidfd = reads, False
