"""Start method forkserver: the child is forked by a warm, single-threaded process."""

from __future__ import annotations

import os
import sys

if sys.platform != "linux":
    raise ImportError("procession_process._launch._forkserver needs Linux")


from .._bootstrap import flush_streams
from .._messages import MAX_INLINE
from .._native import reserve
from .._waiting import wait_readable
from ._payload import SpawnTransfer, as_file, build
from ._popen import BasePopen
from ._zygotes import Connection, OtherServerError, current, fork_one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOST = 255
_PATIENCE = 60.0


class Popen(BasePopen):
    """A child of the zygote. Its status comes over the connection; if the zygote was killed, it is 255."""

    method = "forkserver"
    _connection: Connection

    def _launch(self, process: Any) -> None:
        flush_streams()  # what was printed before the start stands before what the child prints
        connection = current()
        while True:
            transfer = SpawnTransfer(reserve(process.name))
            try:
                known = None if connection is None else connection.told
                data, self._stack_fd = build(transfer, process, self.method, known)
                if len(data) > MAX_INLINE:
                    transfer.fds.append(as_file(data))
                    data = b""
                answer = fork_one(transfer.fds, transfer.slot, data, connection)
            except OtherServerError:
                transfer.fail()
                self.close()
                connection = None
            except BaseException:
                transfer.fail()
                raise
            else:
                self.pid, self.sentinel, self._connection = answer
                transfer.close()
                return

    def wait(self, timeout: float | None = None) -> int | None:
        if self.returncode is not None:
            return self.returncode
        if not self._connection.wait_for(
            self.pid, self.sentinel, timeout, lambda: self.returncode is not None
        ):
            return None
        self._collect()
        return self.returncode

    def _collect(self, flag: int = os.WNOHANG) -> None:
        with self._lock:
            if self.returncode is not None:
                return
            connection = self._connection
            connection.drain()
            if self.pid not in connection.statuses:
                if not wait_readable((self.sentinel,), 0):
                    return
                # Dead: the status is on its way, or will never come.
                connection.wait_for(self.pid, self.sentinel, _PATIENCE)
            status = connection.statuses.pop(self.pid, None)
            if status is None:
                self._ended(_LOST, _LOST << 8)
            else:
                self._ended(os.waitstatus_to_exitcode(status), status)
