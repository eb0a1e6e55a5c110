"""Good manners beside the standard library's package, where a program uses both.

Nothing is imported for it: only if ``multiprocessing`` is already loaded, and is the real one, it is told
what it would otherwise not know.
"""

from __future__ import annotations

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


def name_current(name: str) -> None:
    """In a child: give the real package's idea of the current process our name, which logging shows."""
    process = _real("multiprocessing.process")
    if process is not None:
        process.current_process().name = name


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
