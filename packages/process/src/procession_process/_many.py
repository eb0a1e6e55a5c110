"""Starting several children at once.

Between two forks of a process everything that it writes to is copied anew, page by page. Eight starts one after the
other cost eight times 200 such pages; done here, with all that can be prepared or finished outside of the loop, eight
times 30.
"""

from __future__ import annotations

import os
import sys
from itertools import repeat

if sys.platform == "win32":
    raise ImportError("procession_process._many needs POSIX")


from . import _children, _life
from ._bootstrap import flush_streams
from ._death import new_stack_file, watch_memory
from ._launch._fork import Popen, choose_fork, collect_young, get_ready
from ._launch._popen import check_room
from ._launch._stdin import prepare_stdin
from ._methods import default_method, have_pidfd
from ._native import forked, prepare_fork
from ._process import BaseProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class _Prepared(Popen):
    """A launcher's object before its fork."""

    def _launch(self, process: BaseProcess) -> None:
        self._stack_fd = new_stack_file()


def start_all(
    processes: Sequence[BaseProcess], before: Sequence[Callable[[int, int], object] | None] = ()
) -> None:
    """Start *processes*, in their order. Where they are forked by this library's own launcher, in one go.

    *before* has, for each of them, what is to be called right before its fork, if it is forked so and its class leaves
    ``run()`` as it is: with the two ends of the pipe by which daemonic children notice the end of this process, or -1.

    Raises what ``start()`` raises; those before the one that could not be started may be running then.
    """
    alone = len(processes) < 2 or len(set(map(id, processes))) < len(processes)
    if not alone and have_pidfd() and all(map(_is_plain, processes)):
        _fork_all(processes, before if before and all(map(_runs_plainly, processes)) else repeat(None))
    else:
        for process in processes:
            process.start()


def _is_plain(process: BaseProcess) -> bool:
    kind = type(process)
    return (
        isinstance(process, BaseProcess)
        and kind.start is _start
        and kind._Popen is _launcher
        and process._popen is None
        and (process._start_method or default_method()) == "fork"
    )


def _runs_plainly(process: BaseProcess) -> bool:
    kind = type(process)
    return kind.run is _run and kind._bootstrap is _bootstrap


_start = BaseProcess.start
_launcher = BaseProcess._Popen
_run = BaseProcess.run
_bootstrap = BaseProcess._bootstrap


def _fork_all(
    processes: Sequence[BaseProcess], before: Iterable[Callable[[int, int], object] | None]
) -> None:
    _children.reap()
    flush_streams()
    stdin = prepare_stdin()
    watch_memory()
    prepare_fork()
    popens = []
    for process in processes:
        process._check_startable()
        if process.daemon:
            _life.read_end()
        popens.append(_Prepared(process))
    unused = not _life.is_used()
    # Looked up here: in the child each costs six pages, and between two forks three in this process.
    births = [
        (
            popen._run,
            (
                get_ready(process),
                process._name,
                stdin,
                None if unused and popen._stack_fd < 0 else popen._settle,
                process.daemon,
                True,
            ),
        )
        for process, popen in zip(processes, popens, strict=True)
    ]
    collect_young()
    check_room(len(popens))
    fork = choose_fork()
    pids: list[int] = []
    try:
        for (run, arguments), prepare in zip(births, before, strict=False):
            if prepare is not None:
                prepare(*_life.ends())
            pid = fork()
            if pid == 0:
                run(*arguments)
            forked(pid)
            pids.append(pid)
    finally:
        for number, pid in enumerate(pids):
            try:
                popens[number]._adopt(pid)
            except OSError:
                for late in pids[number + 1 :]:
                    os.kill(late, 9)
                    os.waitpid(late, 0)
                raise
            processes[number]._started(popens[number])


__all__ = ("start_all",)
