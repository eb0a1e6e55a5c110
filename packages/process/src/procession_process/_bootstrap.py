"""What a child does between its birth and ``os._exit()``."""

from __future__ import annotations

import os
import sys
from _thread import get_native_id
from atexit import _clear, _ncallbacks, _run_exitfuncs
from sys import modules

from procession_core import _lifecycle, _logging, info, runtime
from procession_core._lifecycle import REHEARSALS, after_forkers, end_child, has_inherited, rehearse_child
from procession_core._logging import is_logging
from procession_core._runtime import Runtime

from ._children import started
from ._parent import ParentProcess
from ._real import enter_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

runtime.make_parent = ParentProcess


def flush_streams() -> Exception | None:
    """Flush ``sys.stdout`` and ``sys.stderr``, whatever they are; return the error that has cost what was written."""
    # Not in a loop over the names: getattr() and its iterator are three pages more in each forked child.
    lost = None
    try:
        sys.stdout.flush()
    except (AttributeError, ValueError):
        pass  # there is none, or it is closed
    except Exception as error:
        lost = error
    try:
        sys.stderr.flush()
    except (AttributeError, ValueError):
        pass
    except Exception as error:
        lost = error
    return lost


def flush_and_exit(code: int) -> NoReturn:
    """Flush and end this process, without what the interpreter does at its end."""
    try:
        flush_streams()
    finally:
        os._exit(code)


def _follow(runtime: Runtime, process: Any, method: str | None, parent_sentinel: int | None) -> bool:
    """Write down in *runtime* that this process is that of *process*; say whether it is a copy of another one."""
    copied = runtime.forks_as is not None
    if copied:
        runtime.start_method = runtime.forks_as
    if method is not None:
        runtime.default_method = method  # what the child starts, starts as it did
    runtime.is_child = True
    runtime.former = runtime.current
    runtime.current = process
    runtime._parent = None
    runtime.parent_sentinel = parent_sentinel
    return copied


def _main_thread() -> Any:
    return modules["threading"]._main_thread if "threading" in modules else None


def _has_threads() -> bool:
    """Say whether there may be threads to be waited for at the end."""
    if "threading" not in modules:
        return False
    threading = modules["threading"]
    # Not active_count(), which is another function, and takes a lock.
    return (
        len(threading._active) > 1
        or bool(threading._limbo)
        or bool(getattr(threading, "_threading_atexits", True))
    )


def rehearse() -> None:
    """In a process that will fork: run what only its children run so often that the interpreter has adapted it.

    Adapted instructions take no references on names and descriptors and look nothing up, so that a child copies 20
    pages less. Only functions that leave everything as it was are run.
    """
    nobody = Runtime.__new__(Runtime)
    nobody.current = nobody.former = None
    nobody.forks_as = "fork"
    for _ in range(REHEARSALS):
        _follow(nobody, None, "fork", None)
        _main_thread()
        _has_threads()
        is_logging()
    rehearse_child()


def become(process: Any, parent_sentinel: int | None) -> None:
    """Make *process* the current process of this process, and forget what belonged to the parent."""
    # A forked child copies the pages of all that it calls and names, some 2 us each: no call of what would find
    # nothing to do. A name from another module is imported by itself: as an attribute it would cost the module's
    # page and its dictionary's too.
    copied = _follow(runtime, process, process._start_method, parent_sentinel)
    if copied and _ncallbacks():
        _clear()  # those of the parent; a spawned child has only its own
    if started:
        started.clear()
    if not has_inherited():
        return
    main = _main_thread()
    if copied and main is not None:
        main._native_id = get_native_id()  # fork leaves it that of the parent, also in 3.13
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
        if is_logging():
            info("child process calling self.run()")
        process.run()
        exitcode = 0
    except SystemExit as stop:
        exitcode = exit_code(stop.code)
    except BaseException as error:
        report(process._name, error)
    finally:
        if _has_threads():
            _join_threads(process._name, modules["threading"])
        if _ncallbacks():
            try:
                _run_exitfuncs()
            except BaseException as error:  # SystemExit and KeyboardInterrupt; the others it prints itself
                report(process._name, error)
        # After the threads and the handlers, which may use what it ends.
        try:
            end_child()
        except SystemExit as stop:
            exitcode = exit_code(stop.code)
        except BaseException as error:
            exitcode = exitcode or 1
            report(process._name, error)
        if is_logging():
            info("process exiting with exitcode %d", exitcode)
        lost: BaseException | None
        try:
            lost = flush_streams()
        except BaseException as error:
            lost = error
        if lost is not None:
            exitcode = exitcode or 1
            report(process._name, lost)
    return exitcode


def _join_threads(name: str, threading: Any) -> None:
    try:
        threading._shutdown()
    except BaseException as error:
        report(name, error)


def exit_code(code: Any) -> int:
    """Return the exit code that ``SystemExit(code)`` stands for. What is no number is written to ``sys.stderr``."""
    if code is None:
        return 0
    if isinstance(code, int):
        if -(1 << 31) <= code < 1 << 31:
            return code & 0xFF
        # Not its last byte, which may be 0.
        code = "the exit code is too large to convert to a C int: 1 is taken instead"
    try:
        sys.stderr.write(f"{code}\n")
    except Exception:
        pass  # there is no stream, or the object cannot be printed
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
