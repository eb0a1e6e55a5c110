"""The first code of ours in a child that is not a fork. What is imported here, every spawn pays for."""

from __future__ import annotations

import os
import sys

from procession_core import AuthenticationString, runtime
from procession_core._logging import restore_logging

from ._bootstrap import exit_code, flush_and_exit, report
from ._fds import received, set_received
from ._main import import_main
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


server_main: tuple[str, str] | None = None
"""In a fork server: how its children get ``__main__``, unless they are told."""


def prepare(preparation: Preparation) -> None:
    """Bring this process into the state that the parent described. Raises what hooks and ``__main__``
    raise.
    """
    runtime.name = preparation.name
    runtime.parent_pid = preparation.parent_pid
    runtime.parent_name = preparation.parent_name
    runtime.is_child = True
    runtime.start_method = preparation.start_method
    _take_watches(preparation.life_fd, preparation.stack_fd)
    take_common(preparation)
    if preparation.extras:
        run_extras(preparation.extras)


def take_common(preparation: Preparation) -> None:
    """Take over what child after child of a program has in common, but for the hooks."""
    runtime.main_by_value = preparation.main_by_value
    runtime.original_dir = preparation.original_directory
    runtime.authkey = AuthenticationString(preparation.authkey)
    runtime.default_method = preparation.default_method
    restore_logging(preparation.logging)
    sys.path[:] = preparation.sys_path
    sys.argv[:] = preparation.sys_argv
    if preparation.directory is not None:
        try:
            os.chdir(preparation.directory)
        except OSError:
            pass


def _take_watches(life_fd: int, stack_fd: int) -> None:
    if life_fd >= 0:
        _die_with_parent(received(life_fd))
    if stack_fd >= 0:
        import faulthandler

        faulthandler.enable(file=received(stack_fd))


def run(
    fds: list[int], *, unblock: bool = False, attached: bool = False, payload: memoryview | None = None
) -> int:
    """Carry out a payload, which is the last of *fds* unless given, and return the exit code of its process.
    *attached*: this process is in the arena.
    """
    try:
        if unblock:
            unblock_interrupt()
        if payload is None:
            *fds, file = fds
            payloads = read_payload(file)
        else:
            payloads = split_payload(payload)
        process, sentinel = take_place(fds, *payloads, attached)
        del payload, payloads
    except SystemExit as stop:
        return exit_code(stop.code)
    except BaseException as error:
        report(runtime.name if runtime.is_child else "of unknown name", error)
        return 1
    code: int = process._bootstrap(parent_sentinel=sentinel)
    return code


def take_place(
    fds: list[int], first: memoryview, second: memoryview, attached: bool
) -> tuple[Any, int | None]:
    """Become the process that the two pickles describe; return its object and what tells its parent's end. Raises
    what unpickling, hooks and ``__main__`` raise.
    """
    set_received(fds)
    given: Any = loads(first)
    if type(given) is tuple:
        # The fork server was told the rest, and has carried it out.
        runtime.name, life_fd, parent_fd, stack_fd = given
        _take_watches(life_fd, stack_fd)
        main = server_main
    else:
        parent_fd, main = given.parent_fd, given.main
        if not attached:
            attach(given.arena)
        prepare(given)
    import_main(main)
    process = loads(second)
    settle()
    return process, received(parent_fd) if parent_fd >= 0 else None
