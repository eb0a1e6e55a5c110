"""What a child does between its birth and ``os._exit()``."""

from __future__ import annotations

import atexit
import os
import sys

from procession_core import info, run_after_forkers, runtime
from procession_core._lifecycle import end_child, forget_inherited
from procession_core._logging import name_all_records

from ._native import set_name
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
    copied = runtime.start_method != "spawn"
    if copied:
        atexit._clear()  # those of the parent; a spawned child has only its own
        threading = sys.modules.get("threading")
        if threading is not None and hasattr(threading.Thread, "_set_native_id"):  # up to Python 3.12
            threading.main_thread()._set_native_id()
    modules = sys.modules
    runtime.name = process._name
    runtime.identity = process._identity
    runtime.daemon = process.daemon
    runtime.parent_pid = process._parent_pid
    runtime.parent_name = process._parent_name
    runtime.is_child = True
    runtime.authkey = process._config["authkey"]
    runtime.current = process
    runtime.parent = ParentProcess(process._parent_name, process._parent_pid, parent_sentinel)
    forget_inherited()
    set_name(process._name)
    # A forked child pays for each function it calls with page faults: call only what has something to do.
    if "multiprocessing" in modules:
        enter_child(process._name, copied)
    if "logging" in modules:
        name_all_records()
    run_after_forkers()


def run_child(process: Any, parent_sentinel: int | None) -> int:
    """Run *process* in this new process and return its exit code. Nothing is raised."""
    exitcode = 1
    try:
        try:
            become(process, parent_sentinel)
            info("child process calling self.run()")
            process.run()
            exitcode = 0
        finally:
            end_child()
    except SystemExit as stop:
        exitcode = _exit_code(stop.code)
    except BaseException as error:
        report(process._name, error)
    finally:
        _join_threads(process._name)
        try:
            atexit._run_exitfuncs()
        except BaseException as error:  # SystemExit and KeyboardInterrupt; the others it prints itself
            report(process._name, error)
        info("process exiting with exitcode %d", exitcode)
        flush_streams()
    return exitcode


def _join_threads(name: str) -> None:
    threading = sys.modules.get("threading")
    if threading is None:
        return
    try:
        if threading.active_count() > 1 or getattr(threading, "_threading_atexits", True):
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
    try:
        return runtime.parent_pid is not None and os.getpgid(runtime.parent_pid) == os.getpgrp()
    except OSError:
        return False
