"""Process: a thread that looks like a process."""

from __future__ import annotations

import threading
from itertools import count
from weakref import WeakSet

from procession_core import ProcessStateError, runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

_numbers = count(1)


class DummyProcess(threading.Thread):
    """A thread with the interface of a process. The parameters are those of ``threading.Thread``.

    Raises ProcessStateError (an AssertionError) for a group.
    """

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
        super().__init__(
            None, target, name or f"DummyProcess-{next(_numbers)}", args, kwargs or {}, daemon=daemon
        )
        self._parent: Any = current_process()
        self._children: WeakSet[Any] = WeakSet()
        self._began = False
        self._failed = False

    def start(self) -> None:
        """Start the thread. Raises ProcessStateError unless the thread that made it calls, and RuntimeError
        for a second time.
        """
        if self._parent is not current_process():
            raise ProcessStateError(
                f"Parent is {self._parent!r} but current_process is {current_process()!r}; start it where it was made"
            )
        self._began = True
        children_of(self._parent).add(self)
        super().start()

    def run(self) -> None:
        """Call the target."""
        try:
            super().run()
        except SystemExit as stop:
            self._failed = bool(stop.code)
        except BaseException:
            self._failed = True
            raise

    @property
    def exitcode(self) -> int | None:
        """None until the thread has ended, then 0, or 1 if it ended with an exception."""
        if not self._began or self.is_alive():
            return None
        return 1 if self._failed else 0

    @property
    def pid(self) -> int | None:
        """The identity of the thread, None before the start."""
        return self.ident

    @property
    def authkey(self) -> bytes:
        """The key of the real process."""
        return runtime.authkey


Process = DummyProcess


def children_of(thread: threading.Thread) -> Any:
    """Return the set of the processes that *thread* has started."""
    try:
        return thread._children  # type: ignore[attr-defined]
    except AttributeError:
        thread._children = WeakSet()  # type: ignore[attr-defined]
        return thread._children  # type: ignore[attr-defined]


def current_process() -> Any:
    """Return the object of this thread."""
    return threading.current_thread()


def parent_process() -> Any:
    """Return the thread that started this one, None in the main thread."""
    return getattr(threading.current_thread(), "_parent", None)


def active_children() -> list[Any]:
    """Return the processes that this thread has started and that are alive."""
    children = children_of(current_process())
    for process in list(children):
        if not process.is_alive():
            children.discard(process)
    return list(children)


def cpu_count() -> int:
    """Return the number of CPUs. Raises RuntimeError if it is not known (never on supported systems)."""
    import os

    number = getattr(os, "process_cpu_count", os.cpu_count)()
    return number or 1


def freeze_support() -> None:
    """Do nothing: threads need no program to be run again."""
