"""The first code of ours in a child that is not a fork. What is imported here, every spawn pays for."""

from __future__ import annotations

import os
import sys

from procession_core import AuthenticationString, runtime
from procession_core._logging import restore_logging

from ._bootstrap import exit_code, flush_and_exit, report
from ._fds import received, set_received
from ._main import import_main
from ._methods import set_start_method
from ._native import attach, settle
from ._preparation import Preparation, run_extras
from ._unpickler import loads

if sys.platform == "win32":
    from ._windows import end_with as _die_with_parent
    from ._windows import read_all
else:
    from ._life import die_with_parent as _die_with_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SIGINT = 2


def main(fds: list[int], unblock: bool) -> None:
    """Run the child of a spawn and end the process. The last of *fds* is the payload, the others came with
    it.
    """
    code = 1
    try:
        code = run(fds, unblock=unblock)
    finally:
        flush_and_exit(code)


def unblock_interrupt() -> None:
    """Let SIGINT in, which the parent blocked for the time of the interpreter's start."""
    from _signal import SIG_UNBLOCK, pthread_sigmask  # type: ignore[import-not-found]

    pthread_sigmask(SIG_UNBLOCK, [_SIGINT])


def read_payload(fd: int) -> tuple[memoryview, memoryview]:
    """Read and close the anonymous file *fd*, on Windows a pipe; return the pickles of the preparation and of the
    process object.
    """
    if sys.platform == "win32":
        data = memoryview(read_all(fd))
    else:
        size = os.fstat(fd).st_size
        data = memoryview(os.pread(fd, size, 0))
        while len(data) < size:
            data = memoryview(bytes(data) + os.pread(fd, size - len(data), len(data)))
        os.close(fd)
    return split_payload(data)


def split_payload(data: memoryview) -> tuple[memoryview, memoryview]:
    """Return the pickles of the preparation and of the process object."""
    middle = 8 + int.from_bytes(data[:8], "little")
    return data[8:middle], data[middle:]


def prepare(preparation: Preparation) -> None:
    """Bring this process into the state that the parent described. Raises what hooks and ``__main__``
    raise.
    """
    runtime.name = preparation.name
    runtime.parent_pid = preparation.parent_pid
    runtime.parent_name = preparation.parent_name
    runtime.is_child = True
    runtime.start_method = preparation.start_method
    runtime.main_by_value = preparation.main_by_value
    runtime.original_dir = preparation.original_directory
    runtime.authkey = AuthenticationString(preparation.authkey)
    if preparation.life_fd >= 0:
        _die_with_parent(received(preparation.life_fd))
    if preparation.stack_fd >= 0:
        import faulthandler

        faulthandler.enable(file=received(preparation.stack_fd))
    set_start_method(preparation.default_method, force=True)
    restore_logging(preparation.logging)
    sys.path[:] = preparation.sys_path
    sys.argv[:] = preparation.sys_argv
    if preparation.directory is not None:
        try:
            os.chdir(preparation.directory)
        except OSError:
            pass
    run_extras(preparation.extras)


def run(
    fds: list[int], *, unblock: bool = False, attached: bool = False, payload: memoryview | None = None
) -> int:
    """Carry out a payload, which is the last of *fds* unless given, and return the exit code of its process.
    *attached*: this process is in the arena.
    """
    name = "of unknown name"
    try:
        if unblock:
            unblock_interrupt()
        if payload is None:
            *fds, file = fds
            first, second = read_payload(file)
        else:
            first, second = split_payload(payload)
        set_received(fds)
        preparation: Preparation = loads(first)
        name = preparation.name
        if not attached:
            attach(preparation.arena)
        prepare(preparation)
        import_main(preparation.main)
        process: Any = loads(second)
        settle()
        parent_fd = received(preparation.parent_fd)
        sentinel = parent_fd if parent_fd >= 0 else None
        del first, second, preparation, payload
    except SystemExit as stop:
        return exit_code(stop.code)
    except BaseException as error:
        report(name, error)
        return 1
    code: int = process._bootstrap(parent_sentinel=sentinel)
    return code
