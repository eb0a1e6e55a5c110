"""The contexts of the start methods, and the default one, which follows ``set_start_method()``."""

from __future__ import annotations

import sys

from procession_process import (
    ForkProcess,
    ForkServerProcess,
    Process,
    SpawnProcess,
    get_all_start_methods,
    get_start_method,
    set_start_method,
)

from ._base_context import BaseContext, concrete_contexts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = (
    "DefaultContext",
    "ForkContext",
    "ForkServerContext",
    "SpawnContext",
    "context_of",
    "default_context",
)


def context_of(name: str) -> BaseContext:
    """Return the context of start method *name*: what a pickled context is loaded by."""
    return concrete_contexts[name]


class _Concrete(BaseContext):
    _name: str

    def _check_available(self) -> None:
        if self._name not in get_all_start_methods():
            raise ValueError(
                f"{self._name} start method not available on this platform; allowed are "
                f"{', '.join(get_all_start_methods())}"
            )

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        # Some programs take a context only if it is an instance of the standard library's class. Where that package
        # is loaded beside this one, isinstance() agrees, as it does for other stand-ins; type() tells the truth.
        real: Any = sys.modules.get("multiprocessing.context")
        if real is None or real.__name__ != "multiprocessing.context":
            return type(self)
        return real.BaseContext

    # Not __reduce__: object's own __reduce_ex__ would look for it in __class__.
    def __reduce_ex__(self, protocol: object) -> tuple[Callable[[str], BaseContext], tuple[str]]:
        return context_of, (self._name,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of start method {self._name!r}>"


class ForkContext(_Concrete):
    """Children are copies of this process."""

    _name = "fork"
    Process = ForkProcess


class SpawnContext(_Concrete):
    """Children are fresh interpreters."""

    _name = "spawn"
    Process = SpawnProcess


class ForkServerContext(_Concrete):
    """Children are forked by a warm, single-threaded process."""

    _name = "forkserver"
    Process = ForkServerProcess


class DefaultContext(BaseContext):
    """Follows the start method that was chosen; asking for its context chooses the platform's default."""

    Process = Process

    def get_context(self, method: str | None = None, **options: Any) -> Any:
        """Return the context of *method*; None: of the chosen start method, which is fixed by that.

        ``get_context("dask", address=...)`` is described at ``BaseContext.get_context()``.

        Raises ValueError for a start method that is unknown or that this platform does not have.
        """
        return super().get_context(get_start_method() if method is None else method, **options)

    def get_start_method(self, allow_none: bool = False) -> str | None:
        """Return the start method, fixing the platform's default unless *allow_none*; then None if none was
        chosen.
        """
        return get_start_method(allow_none)

    def set_start_method(self, method: str | None, force: bool = False) -> None:
        """Choose the start method; once, unless *force*. Raises RuntimeError, ValueError."""
        set_start_method(method, force)


concrete_contexts.update(
    {
        "fork": ForkContext(),
        "spawn": SpawnContext(),
        "forkserver": ForkServerContext(),
    }
    if sys.platform != "win32"
    else {"spawn": SpawnContext()}
)

default_context = DefaultContext()
"""The context whose API is the package's own."""
