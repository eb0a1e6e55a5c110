"""Start method fork: the child is a copy."""

from __future__ import annotations

import os

from procession_core import runtime

from .. import _life
from .._bootstrap import flush_streams
from .._death import enable_stack, new_stack_file, watch_memory
from .._methods import have_pidfd
from .._native import forked, prepare_fork
from ._popen import BasePopen
from ._stdin import close_stdin, prepare_stdin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Popen(BasePopen):
    """A child made by ``os.fork()``. On Python 3.12 and later that call warns in a process with threads."""

    method = "fork"

    def _launch(self, process: Any) -> None:
        flush_streams()
        prepare_stdin()
        watch_memory()
        prepare_fork()
        if process.daemon or not have_pidfd():
            _life.read_end()
        self._stack_fd = new_stack_file()
        if have_pidfd():
            pid = os.fork()
            if pid == 0:
                self._run(process)
            forked(pid)
            self._adopt(pid)
            return
        # Without pidfds: one pipe whose write end the child keeps for its life, one for the opposite
        # direction.
        parent_reads, child_writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(parent_reads)
            self._run(process)
        forked(pid)
        os.close(child_writes)
        self.pid, self.sentinel, self._sentinel_is_pidfd = pid, parent_reads, False

    def _run(self, process: Any) -> None:
        code = 1
        parent_sentinel = None
        try:
            runtime.start_method = "fork"
            inherited = _life.take_inherited()
            if process.daemon:
                if not have_pidfd():
                    parent_sentinel = os.dup(inherited)
                _life.die_with_parent(inherited)
            elif not have_pidfd():
                parent_sentinel = inherited
            elif inherited >= 0:
                os.close(inherited)
            if self._stack_fd >= 0:
                enable_stack(self._stack_fd)
                self._stack_fd = -1
            close_stdin()
            code = process._bootstrap(parent_sentinel=parent_sentinel)
        finally:
            os._exit(code)
