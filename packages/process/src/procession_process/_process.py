"""The process object."""

from __future__ import annotations

import os
from itertools import count

from procession_core import AuthenticationString, ProcessStateError, check_timeout, runtime
from procession_core._lifecycle import note_start

from . import _children, _hooks
from ._bootstrap import run_child
from ._children import started as _started
from ._launch import launch
from ._methods import default_method
from ._parent import ParentProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from ._death import Death


def current_process() -> BaseProcess:
    """Return the object of this process."""
    process: BaseProcess = runtime.current
    return process


def parent_process() -> ParentProcess | None:
    """Return the object of the process that started this one, None in the main process."""
    parent: ParentProcess | None = runtime.parent
    return parent


def active_children() -> list[BaseProcess]:
    """Return the children of this process that are alive. Joins those that have ended."""
    _children.reap()
    return list(_started)


class BaseProcess:
    """An activity that runs in a process of its own.

    *group* must be None. *target* is called by ``run()`` with *args* and *kwargs*; *name* is for people;
    *daemon* None takes the flag of the creating process.

    Raises ProcessStateError (an AssertionError) for a group.
    """

    _start_method: str | None = None

    def __init__(
        self,
        group: None = None,
        target: Callable[..., object] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
    ) -> None:
        if group is not None:
            raise ProcessStateError(f"group argument must be None for now, not {group!r}")
        current = runtime.current
        try:
            number = next(current._numbers)
        except AttributeError:
            # setdefault() is atomic: two threads that are first at once get one counter.
            number = next(current.__dict__.setdefault("_numbers", count(1)))
        self._identity: tuple[int, ...] = (*current._identity, number)
        self._config: dict[str, Any] = current._config.copy()
        self._parent_pid: int = os.getpid()
        self._parent_name: str = current._name
        self._popen: Any = None
        self._closed = False
        self._target = target
        self._args = tuple(args)
        self._kwargs = dict(kwargs) if kwargs is not None else {}
        # The first is what nearly all processes are called, and each function called is a page to be copied.
        self._name = name or (
            f"{type(self).__name__}-{number}"
            if not current._identity
            else f"{type(self).__name__}-{':'.join(map(str, self._identity))}"
        )
        if daemon is not None:
            self.daemon = daemon

    # ---- what the child does -------------------------------------------------------------------------------

    def run(self) -> None:
        """Do the work, in the child: call the target. Meant to be overridden."""
        if self._target is not None:
            self._target(*self._args, **self._kwargs)

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        # In the child. A method of its own because programs that trace children replace it.
        return run_child(self, parent_sentinel)

    # ---- what the parent does ------------------------------------------------------------------------------

    @staticmethod
    def _Popen(process: BaseProcess) -> Any:
        return launch(process, process._start_method or default_method())

    def start(self) -> None:
        """Start the child; returns as soon as the operating system has it.

        Raises ProcessStateError (an AssertionError) if it was started before, by any but the process that
        made the object, or in a daemonic process; ValueError if it is closed; what pickling raises where the
        start method pickles (spawn, forkserver); OSError if the system refuses.
        """
        self._check_startable()
        _children.reap()
        self._started(self._Popen(self))

    def _check_startable(self) -> None:
        self._check_closed()
        if self._popen is not None:
            raise ProcessStateError("cannot start a process twice; make a new Process object")
        if self._parent_pid != os.getpid():
            raise ProcessStateError(
                f"can only start a process object created by current process: {self._made_by()}; make a new one here"
            )
        if runtime.current._config.get("daemon"):
            raise ProcessStateError(
                "daemonic processes are not allowed to have children; start it from one that is not daemonic"
            )

    def _started(self, popen: Any) -> None:
        self._popen = popen
        self._sentinel: int = popen.sentinel
        # The target may hold what refers to this object: a cycle that would keep both.
        del self._target, self._args, self._kwargs
        _started.add(self)
        if runtime.starter is not runtime.current:
            note_start()

    def join(self, timeout: float | None = None) -> None:
        """Block until the child has ended, at most *timeout* seconds (None: for ever).

        Raises ProcessStateError (an AssertionError) before the start or from a process that is not the
        parent, ValueError if it is closed, TypeError or ValueError for a wrong timeout.
        """
        if self._closed:
            self._check_closed()
        if self._parent_pid != os.getpid():
            raise ProcessStateError(f"can only join a child process: {self._made_by()}, so join it there")
        if self._popen is None:
            raise ProcessStateError("can only join a started process; call start() first")
        if timeout is not None:
            timeout = check_timeout(timeout)
        if self._popen.wait(timeout) is not None:
            _started.discard(self)
            if _hooks.after_join is not None:
                _hooks.after_join()

    def is_alive(self) -> bool:
        """Say whether the process is running. Raises as ``join()`` does, but not before the start."""
        self._check_closed()
        if self is runtime.current:
            return True
        if self._parent_pid != os.getpid():
            raise ProcessStateError(f"can only test a child process: {self._made_by()}, so ask there")
        if self._popen is None:
            return False
        if self._popen.poll() is None:
            return True
        _started.discard(self)
        return False

    def terminate(self) -> None:
        """Send SIGTERM to the child. Exit handlers and finally clauses do not run there.

        Nothing happens if it has ended. Raises ProcessStateError before the start, ValueError if it is
        closed.
        """
        self._running("terminate").terminate()

    def kill(self) -> None:
        """Send SIGKILL to the child. Otherwise as ``terminate()``."""
        self._running("kill").kill()

    def interrupt(self) -> None:
        """Send SIGINT to the child, where it raises KeyboardInterrupt unless handled. Else as
        ``terminate()``.
        """
        self._running("interrupt").interrupt()

    def terminate_tree(self, timeout: float | None = 5.0) -> None:
        """Terminate the child and all its descendants; after *timeout* seconds (None: never) kill what is
        left.

        Blocks until all of them have ended. Not found are those whose parent had ended before, and, on the
        portable variant, those that a fork server made for a descendant.
        """
        self._running("terminate_tree").terminate_tree(check_timeout(timeout))
        _started.discard(self)

    def close(self) -> None:
        """Release what the object holds; afterwards most methods raise ValueError.

        Raises ValueError if the child is still running.
        """
        if self._popen is not None:
            if self._popen.poll() is None:
                raise ValueError(
                    "Cannot close a process while it is still running. "
                    "You should first call join() or terminate()."
                )
            self._popen.close()
            self._popen = None
            del self._sentinel
            _started.discard(self)
        self._closed = True

    def _made_by(self) -> str:
        return f"{self._name!r} was made by process {self._parent_pid}, and this is process {os.getpid()}"

    def _running(self, what: str) -> Any:
        self._check_closed()
        if self._popen is None:
            raise ProcessStateError(f"can only {what} a started process; call start() first")
        if self._parent_pid != os.getpid():
            raise ProcessStateError(f"can only {what} a child process: {self._made_by()}, so do it there")
        return self._popen

    def _check_closed(self) -> None:
        if self._closed:
            raise ValueError("process object is closed: close() was called on it; ask it before that")

    # ---- attributes ----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name, for people only. Setting what is no str raises ProcessStateError (an AssertionError)."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise ProcessStateError(f"name must be a string, not {name!r}")
        self._name = name

    @property
    def daemon(self) -> bool:
        """Whether the process is ended when its parent ends, however that ends.

        Setting it after the start raises ProcessStateError (an AssertionError).
        """
        return bool(self._config.get("daemon", False))

    @daemon.setter
    def daemon(self, daemonic: bool) -> None:
        if self._popen is not None:
            raise ProcessStateError("process has already started; set daemon before start()")
        self._config["daemon"] = daemonic

    @property
    def authkey(self) -> AuthenticationString:
        """The key of this process's connections; children begin with their creator's."""
        key: AuthenticationString = self._config["authkey"]
        return key

    @authkey.setter
    def authkey(self, authkey: bytes) -> None:
        self._config["authkey"] = AuthenticationString(authkey)

    @property
    def exitcode(self) -> int | None:
        """None until the child has ended; then its exit code, or minus the number of its fatal signal."""
        self._check_closed()
        return None if self._popen is None else self._popen.poll()

    @property
    def ident(self) -> int | None:
        """The process id, None before the start."""
        self._check_closed()
        if self is runtime.current:
            return os.getpid()
        return None if self._popen is None else self._popen.pid

    pid = ident

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the child has ended. Raises ValueError before the start."""
        self._check_closed()
        try:
            return self._sentinel
        except AttributeError:
            raise ValueError("process not started") from None

    @property
    def death(self) -> Death | None:
        """The evidence of how the child ended; None while it has not."""
        self._check_closed()
        return None if self._popen is None else self._popen.death()

    def __repr__(self) -> str:
        exitcode = None
        if self is runtime.current:
            status = "started"
        elif self._closed:
            status = "closed"
        elif self._parent_pid != os.getpid():
            status = "unknown"
        elif self._popen is None:
            status = "initial"
        else:
            exitcode = self._popen.poll()
            status = "started" if exitcode is None else "stopped"
        parts = [type(self).__name__, f"name={self._name!r}"]
        if self._popen is not None:
            parts.append(f"pid={self._popen.pid}")
        parts.append(f"parent={self._parent_pid}")
        parts.append(status)
        if exitcode is not None:
            parts.append(f"exitcode={exitcode if exitcode >= 0 else self._popen.death().shown_code()}")
        if self.daemon:
            parts.append("daemon")
        return f"<{' '.join(parts)}>"

    def __getstate__(self) -> dict[str, Any]:
        # What stays with the parent does not travel to a child.
        state = self.__dict__.copy()
        state["_popen"] = None
        state.pop("_sentinel", None)
        state.pop("_numbers", None)
        return state


class Process(BaseProcess):
    """A process started by the chosen start method. See BaseProcess for the parameters."""


class ForkProcess(BaseProcess):
    """A process started by fork."""

    _start_method = "fork"


class SpawnProcess(BaseProcess):
    """A process started in a fresh interpreter."""

    _start_method = "spawn"


class ForkServerProcess(BaseProcess):
    """A process forked by the fork server."""

    _start_method = "forkserver"


class _MainProcess(BaseProcess):
    """The process that nobody here started."""

    def __init__(self) -> None:
        self._identity = ()
        self._name = "MainProcess"
        self._parent_pid = None  # type: ignore[assignment]
        self._parent_name = ""
        self._popen = None
        self._closed = False
        self._config = {"authkey": runtime.authkey, "semprefix": "/mp"}

    def close(self) -> None:
        """Do nothing: the main process is not a child."""


if runtime.current is None:
    runtime.current = _MainProcess()
