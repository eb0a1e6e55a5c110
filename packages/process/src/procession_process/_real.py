"""Good manners beside the standard library's package, where a program uses both.

Nothing is imported for it: only if ``multiprocessing`` is already loaded, and is the real one, it is told
what it would otherwise not know.
"""

from __future__ import annotations

import atexit
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any


def _real(name: str) -> Any:
    """Return the loaded real module, or None. An alias of ours under the same name has another
    ``__name__``.
    """
    module = sys.modules.get(name)
    return module if module is not None and module.__name__ == name else None


def enter_child(name: str, copied: bool) -> None:
    """In a child: let the real package know that this is one.

    Its idea of the current process gets our name, which logging shows. In a copy of the parent's memory it
    forgets the parent's children and finalizers, and joins the feeder threads of its queues at exit.
    """
    process = _real("multiprocessing.process")
    if process is None:
        return
    process.current_process().name = name
    if not copied:
        return
    if hasattr(process, "_children"):
        process._children = set()
    util = _real("multiprocessing.util")
    if util is not None:
        util._finalizer_registry.clear()
        atexit.register(util._exit_function)
        util._run_after_forkers()


class real_spawning:
    """Context manager: while a child's arguments are pickled, real objects among them may travel too."""

    __slots__ = ("_before", "_context", "_popen")

    def __init__(self, popen: object) -> None:
        self._popen = popen

    def __enter__(self) -> None:
        self._context = _real("multiprocessing.context")
        if self._context is not None:
            self._before = self._context.get_spawning_popen()
            self._context.set_spawning_popen(self._popen)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._context is not None:
            self._context.set_spawning_popen(self._before)
