"""What a child does between its birth and ``os._exit()``."""

from __future__ import annotations

import os
import sys
from _thread import get_native_id
from atexit import _clear, _ncallbacks, _run_exitfuncs
from sys import modules

from procession_core import _lifecycle, _logging, info, runtime
from procession_core._lifecycle import after_forkers, end_child, finalizer_registry

from ._parent import ParentProcess
from ._real import enter_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def flush_streams() -> None:
    """Flush ``sys.stdout`` and ``sys.stderr``, whatever they are."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass


def become(process: Any, parent_sentinel: int | None) -> None:
    """Make *process* the current process of this process, and forget what belonged to the parent."""
    # A forked child copies the pages of all that it calls and names, some 2 us each: no helpers here, and no
    # call of what would find nothing to do. A name from another module is imported by itself: as an attribute
    # it would cost the module's page and its dictionary's too.
    copied = runtime.start_method != "spawn"
    if copied:
        if _ncallbacks():
            _clear()  # those of the parent; a spawned child has only its own
        if "threading" in modules:  # fork leaves it that of the parent, also in 3.13
            modules["threading"]._main_thread._native_id = get_native_id()
    runtime.is_child = True
    runtime.former = runtime.current
    runtime.current = process
    runtime._parent = (ParentProcess, parent_sentinel)
    if finalizer_registry or _lifecycle.done_pid:
        _lifecycle.forget_inherited()
    if "multiprocessing" in modules:
        enter_child(process._name, copied)
    if "logging" in modules:
        _logging.name_all_records()
    if after_forkers:
        _lifecycle.run_after_forkers()


def run_child(process: Any, parent_sentinel: int | None) -> int:
    """Run *process* in this new process and return its exit code. Nothing is raised."""
    exitcode = 1
    try:
        become(process, parent_sentinel)
        if _logging.logger is not None:
            info("child process calling self.run()")
        process.run()
        exitcode = 0
    except SystemExit as stop:
        exitcode = _exit_code(stop.code)
    except BaseException as error:
        report(process._name, error)
    finally:
        threading = modules.get("threading")
        # Not active_count(), which is another function, and takes a lock.
        if threading is not None and (
            len(threading._active) > 1 or threading._limbo or getattr(threading, "_threading_atexits", True)
        ):
            _join_threads(process._name, threading)
        if _ncallbacks():
            try:
                _run_exitfuncs()
            except BaseException as error:  # SystemExit and KeyboardInterrupt; the others it prints itself
                report(process._name, error)
        # After the threads and the handlers, which may use what it ends.
        try:
            end_child(process._parent_pid)
        except BaseException as error:
            exitcode = exitcode or 1
            report(process._name, error)
        if _logging.logger is not None:
            info("process exiting with exitcode %d", exitcode)
        flush_streams()
    return exitcode


def _join_threads(name: str, threading: Any) -> None:
    try:
        threading._shutdown()
    except BaseException as error:
        report(name, error)


def _exit_code(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    try:
        sys.stderr.write(f"{code}\n")
    except (AttributeError, ValueError, OSError):
        pass
    return 1


def report(name: str, error: BaseException) -> None:
    """Write the traceback of *error* to ``sys.stderr``, under the name of the process.

    Not for KeyboardInterrupt while the parent lives in the same process group: the terminal has interrupted
    the parent too, and its traceback is the one that people want to see.
    """
    if isinstance(error, KeyboardInterrupt) and _parent_is_interrupted_too():
        info("process %s was interrupted", name)
        return
    import traceback

    try:
        sys.stderr.write(f"Process {name}:\n")
        traceback.print_exception(error)
    except (AttributeError, ValueError, OSError):
        pass


def _parent_is_interrupted_too() -> bool:
    if sys.platform == "win32":
        return False  # it has interrupted the parent too, but a child's traceback does no harm
    try:
        return runtime.parent_pid is not None and os.getpgid(runtime.parent_pid) == os.getpgrp()
    except OSError:
        return False
