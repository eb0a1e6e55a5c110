"""Finalizers, what runs after a fork, what runs at exit.

Nothing is registered with the interpreter before it is needed: the first entry arms ``atexit`` and the one
``os.register_at_fork``. Every entry is stamped with the process that made it, so that what a fork copied is
inert.
"""

from __future__ import annotations

import os
from _weakref import ref
from itertools import count
from sys import modules

from ._logging import debug, info, is_logging, sub_debug
from ._runtime import runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

REHEARSALS = 16
"""So often a function is called for the interpreter to adapt it: CPython 3.11 needs eight calls."""

# (priority or None, number) -> Finalize. CPython's tests look at this table under the name
# _finalizer_registry.
finalizer_registry: dict[tuple[int | None, int], Finalize] = {}
_finalizer_numbers = count()


class Finalize:
    """Call *callback* once: when *obj* is collected, when called, or at exit.

    With *exitpriority* (an int) the callback also runs at exit, highest priority first; those below 0 run
    after the children have been joined. *obj* may be None, then *exitpriority* is needed. Only the process
    that made it runs it.

    Raises TypeError for a priority that is not an int, ValueError for neither object nor priority.
    """

    __slots__ = ("__weakref__", "_args", "_callback", "_key", "_kwargs", "_pid", "_weakref")

    def __init__(
        self,
        obj: object,
        callback: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        exitpriority: int | None = None,
    ) -> None:
        if exitpriority is not None and not isinstance(exitpriority, int):
            raise TypeError(f"Exitpriority ({exitpriority!r}) must be None or int, not {type(exitpriority)}")
        if obj is not None:
            self._weakref: ref[Any] | None = ref(obj, self)
        elif exitpriority is None:
            raise ValueError("Without object, exitpriority cannot be None; give one of the two")
        else:
            self._weakref = None
        self._callback: Callable[..., Any] | None = callback
        self._args = args
        self._kwargs = kwargs or {}
        self._key = (exitpriority, next(_finalizer_numbers))
        self._pid = os.getpid()
        finalizer_registry[self._key] = self
        if exitpriority is not None:
            arm()

    def __call__(self, _: object = None) -> Any:
        """Run the callback unless it has run or was cancelled; return what it returns."""
        if finalizer_registry.pop(self._key, None) is None:
            sub_debug("finalizer no longer registered")
            return None
        callback = self._callback
        result = None
        if callback is not None and self._pid == os.getpid():
            sub_debug("finalizer calling %s with args %s and kwargs %s", callback, self._args, self._kwargs)
            result = callback(*self._args, **self._kwargs)
        self._forget()
        return result

    def cancel(self) -> None:
        """Never run the callback."""
        if finalizer_registry.pop(self._key, None) is not None:
            self._forget()

    def still_active(self) -> bool:
        """Say whether the callback is still to run."""
        return self._key in finalizer_registry

    def _forget(self) -> None:
        self._weakref = self._callback = None
        self._args = ()
        self._kwargs = {}

    def __repr__(self) -> str:
        if self._callback is None or (self._weakref is not None and self._weakref() is None):
            return f"<{type(self).__name__} object, dead>"
        name = getattr(self._callback, "__name__", self._callback)
        parts = [f"<{type(self).__name__} object, callback={name}"]
        if self._args:
            parts.append(f"args={self._args}")
        if self._kwargs:
            parts.append(f"kwargs={self._kwargs}")
        if self._key[0] is not None:
            parts.append(f"exitpriority={self._key[0]}")
        return ", ".join(parts) + ">"


def run_finalizers(minpriority: int | None = None) -> None:
    """Run the finalizers with a priority of at least *minpriority*, highest first, the newest first among
    equals.

    None runs all that have a priority. An exception in one is printed and does not stop the others.
    """

    def due() -> list[tuple[int, int]]:
        keys = [key for key in list(finalizer_registry) if key[0] is not None]
        return [key for key in keys if minpriority is None or key[0] >= minpriority]  # type: ignore[operator,misc]

    for key in sorted(due(), reverse=True):
        finalizer = finalizer_registry.get(key)
        if finalizer is not None:
            sub_debug("calling %s", finalizer)
            try:
                finalizer()
            except Exception:
                _print_exception()
    if minpriority is None:
        finalizer_registry.clear()


# ---- after a fork ------------------------------------------------------------------------------------------

# An object and what to call with it in each child. In order of registration; weak, so that registering keeps
# nothing.
after_forkers: dict[tuple[int, int, Any], ref[Any]] = {}
_after_fork_numbers = count()
_resets: list[Callable[[], object]] = []


def register_after_fork(obj: Any, func: Callable[[Any], object]) -> None:
    """Call ``func(obj)`` in every child that this library starts, if *obj* is alive there."""
    key = (next(_after_fork_numbers), id(obj), func)
    after_forkers[key] = ref(obj, lambda _: after_forkers.pop(key, None))


def run_after_forkers() -> None:
    """Call what ``register_after_fork()`` collected. A child's start does it; an error is logged and passed
    over.
    """
    if not after_forkers:
        return
    for (_, _, func), reference in sorted(after_forkers.items(), key=lambda item: item[0][0]):
        obj = reference()
        if obj is not None:
            try:
                func(obj)
            except Exception as error:
                info("after forker raised exception %s", error)


def reset_after_fork(func: Callable[[], object]) -> None:
    """Call *func* in the child of every fork, ``os.fork()`` too. For the layers of this library."""
    _resets.append(func)
    _arm_fork()


_fork_armed = False


def _arm_fork() -> None:
    global _fork_armed
    if not _fork_armed:
        _fork_armed = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork_in_child)


def _after_fork_in_child() -> None:
    for func in _resets:
        func()


# ---- exit --------------------------------------------------------------------------------------------------

# setdefault() is atomic: of two threads one exits. A lock would have to be made anew in each forked child.
_claims: dict[int, object] = {}
_armed_pid = 0
_exiting_pid = 0
done_pid = 0
_children_ender: Callable[[], object] | None = None


def arm() -> None:
    """Let ``exit_function()`` run when this process exits. Children that this library starts call it
    themselves.
    """
    global _armed_pid
    if not _armed_pid and not runtime.is_child:
        _armed_pid = os.getpid()
        import atexit

        atexit.register(exit_function)


def at_exit(callback: Callable[[], object], priority: int = 0) -> Finalize:
    """Run *callback* at exit in the order of ``Finalize`` priorities; the returned object can cancel it."""
    return Finalize(None, callback, exitpriority=priority)


_last: list[Callable[[], object]] = []


def at_end(callback: Callable[[], object]) -> None:
    """Call *callback* as the last act of ``exit_function()``, here and in all processes forked from this one.

    For the layers of this library. It does not arm the exit: see ``arm()``.
    """
    _last.append(callback)


def note_start() -> None:
    """This process has started its first child: let its exit join its children."""
    # Its object, not its pid: a child that asks at its end copies four pages less.
    runtime.starter = runtime.current
    arm()


def set_children_ender(ender: Callable[[], object]) -> None:
    """Register what terminates daemonic children and joins the others at exit."""
    global _children_ender
    _children_ender = ender


def is_exiting() -> bool:
    """Say whether this process is shutting down."""
    return _exiting_pid == os.getpid()


def exit_function() -> None:
    """Shut this process down in order: finalizers of priority 0 and more, the children, the other finalizers.

    Blocks until the children that are not daemonic have ended. Runs once in a process; later calls do
    nothing.
    """
    global _exiting_pid, done_pid
    pid = os.getpid()
    if done_pid == pid or _claims.setdefault(pid, claim := object()) is not claim:
        return
    done_pid = _exiting_pid = pid
    info("process shutting down")
    debug('running all "atexit" finalizers with priority >= 0')
    run_finalizers(0)
    if _children_ender is not None:
        _children_ender()
    debug('running the remaining "atexit" finalizers')
    run_finalizers()
    _run_last()


def _run_last() -> None:
    for callback in _last:
        try:
            callback()
        except Exception:
            _print_exception()


def end_child() -> None:
    """At the end of a child that this library started: what ``exit_function()`` does, if there is anything to
    do.
    """
    # Without a call that is not needed, not even of getpid(): each copies four pages in a forked child.
    if _has_to_exit():
        exit_function()
    elif not done_pid:
        if len(_last) == 1:  # an iterator is an object more, on two pages more
            try:
                _last[0]()
            except Exception:
                _print_exception()
        else:
            _run_last()


def _has_to_exit() -> bool:
    # Who has started a child is this process, unless it was the parent or one of its parents.
    return bool(finalizer_registry) or runtime.starter is runtime.current or is_logging()


def has_inherited() -> bool:
    """Say whether a new child may have to forget something of its parent, or is to be told to other modules."""
    return bool(
        finalizer_registry
        or after_forkers
        or done_pid
        or "threading" in modules
        or "logging" in modules
        or "multiprocessing" in modules
    )


def rehearse_child() -> None:
    """Let the interpreter adapt what only children run, and what leaves everything as it is: see the process layer."""
    for _ in range(REHEARSALS):
        has_inherited()
        _has_to_exit()


def forget_inherited() -> None:
    """In a new child: drop the finalizers that belong to the parent and let this process exit for itself."""
    global _exiting_pid, done_pid
    if finalizer_registry:
        finalizer_registry.clear()
    if done_pid:
        _exiting_pid = done_pid = 0
        _claims.clear()


def _print_exception() -> None:
    import sys

    sys.excepthook(*sys.exc_info())
