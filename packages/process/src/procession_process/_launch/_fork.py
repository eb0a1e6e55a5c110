"""Start method fork: the child is a copy."""

from __future__ import annotations

import gc
import os
import sys

if sys.platform == "win32":
    raise ImportError("procession_process._launch._fork needs POSIX")

from _thread import _count as count_threads
from os import _exit, dup2
from os import close as close_fd
from os import open as open_fd

from procession_core import runtime

from .. import _life
from .._bootstrap import flush_streams, rehearse
from .._death import enable_stack, new_stack_file, watch_memory
from .._life import die_with_parent, take_inherited
from .._methods import have_pidfd
from .._native import begin_child, forked, no_part, note_forked, prepare_fork
from . import loading
from ._popen import BasePopen, check_room, undo
from ._stdin import close_stdin, prepare_stdin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TextIO


open_pidfd: Any = getattr(os, "pidfd_open", None)
_get_count: Callable[[], tuple[int, int, int]] | None = getattr(gc, "get_count", None)  # PyPy has none


def collect_young() -> None:
    """Before a fork: do a collection here that a child would soon do.

    One writes to every object of the young generation, so that in a child it copies 70 pages.
    """
    if _get_count is not None and gc.isenabled() and _get_count()[0] * 2 > gc.get_threshold()[0]:
        gc.collect(0)


def choose_fork() -> Callable[[], int]:
    """Return what forks this process."""
    return _fork_beside_threads if count_threads() else os.fork


def _fork_beside_threads() -> int:
    with loading:
        return os.fork()


def get_ready(process: Any) -> Callable[..., int]:
    """Before a fork: return the method with which *process* begins in the child."""
    runtime.forks_as = "fork"
    # For the interpreter's cache of methods, which would be written to in the child.
    getattr(type(process), "run", None)
    bootstrap: Callable[..., int] = process._bootstrap
    return bootstrap


rehearse()


class Popen(BasePopen):
    """A child made by ``os.fork()``. On Python 3.12 and later that call warns in a process with threads."""

    method = "fork"

    def _launch(self, process: Any) -> None:
        flush_streams()
        stdin = prepare_stdin()
        watch_memory()
        prepare_fork()
        self._stack_fd = new_stack_file()
        pidfds = have_pidfd()
        daemon = process.daemon
        if daemon or not pidfds:
            _life.read_end()
        # What the parent knows to be nothing to do costs the child no look: see become().
        plain = pidfds and not daemon and self._stack_fd < 0 and not _life.is_used()
        # Looked up here: in the child each costs six pages.
        run, bootstrap, name = self._run, get_ready(process), process._name
        settle = None if plain else self._settle
        collect_young()
        fork = choose_fork()
        if pidfds:
            check_room()
            pid = fork()
            if pid == 0:
                run(bootstrap, name, stdin, settle, daemon, pidfds)
            # Not _tell() and _adopt(): from here on each function that is called, and each object that is named,
            # is a page to be copied, because the child has it too.
            if note_forked is not None and not note_forked(pid):
                self._forget_stack()
                raise no_part(pid)
            try:
                self.sentinel = open_pidfd(pid)
            except OSError:
                undo(pid)
                raise
            self.pid = pid
            return
        # Without pidfds: one pipe whose write end the child keeps for its life, one for the opposite
        # direction.
        parent_reads, child_writes = os.pipe()
        pid = fork()
        if pid == 0:
            os.close(parent_reads)
            run(bootstrap, name, stdin, settle, daemon, pidfds)
        os.close(child_writes)
        try:
            self._tell(pid)
        except MemoryError:
            os.close(parent_reads)
            raise
        self.pid, self.sentinel, self._sentinel_is_pidfd = pid, parent_reads, False

    def _tell(self, pid: int) -> None:
        try:
            forked(pid)
        except MemoryError:
            self._forget_stack()
            raise

    def _forget_stack(self) -> None:
        if self._stack_fd >= 0:
            close_fd(self._stack_fd)
            self._stack_fd = -1

    def _run(
        self,
        bootstrap: Callable[..., int],
        name: str,
        stdin: TextIO | None,
        settle: Callable[[bool, bool], int | None] | None,
        daemon: bool,
        pidfds: bool,
    ) -> NoReturn:
        code = 1
        try:
            # One call of the core instead of five: each copies six pages.
            if begin_child is not None and not begin_child(name, stdin is not None):
                _exit(code)
            parent_sentinel = None if settle is None else settle(daemon, pidfds)
            if stdin is None:
                close_stdin()
            else:
                # 200 us cheaper than a new object, nearly all of it page faults of the copied memory.
                if begin_child is None:
                    fd = open_fd("/dev/null", 0)
                    dup2(fd, 0)
                    close_fd(fd)
                sys.stdin = stdin
            code = bootstrap(parent_sentinel=parent_sentinel)
        finally:
            _exit(code)

    def _settle(self, daemon: bool, pidfds: bool) -> int | None:
        """In the child: take over the ends of pipes, and the file for the stack of a crash."""
        parent_sentinel = None
        inherited = take_inherited()
        if daemon:
            if not pidfds:
                parent_sentinel = os.dup(inherited)
            die_with_parent(inherited)
        elif not pidfds:
            parent_sentinel = inherited
        elif inherited >= 0:
            os.close(inherited)
        if self._stack_fd >= 0:
            enable_stack(self._stack_fd)
            self._stack_fd = -1
        return parent_sentinel
