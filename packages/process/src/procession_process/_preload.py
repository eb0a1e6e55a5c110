"""What the fork server imports once for all its children."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_ON_ERROR = ("ignore", "warn", "fail")

modules: list[str] = ["__main__"]
on_error_wish = "ignore"
report: list[tuple[str, str]] = []


def set_forkserver_preload(module_names: Iterable[str], *, on_error: str = "ignore") -> None:
    """Let the fork server import *module_names* before it forks; ``"__main__"`` stands for the program.

    To be called before the first start; a running fork server is not changed. *on_error*: "ignore" what
    cannot be imported (the child that needs it will say so), "warn" (ImportWarning at the next start), or
    "fail" (ImportError there). ``forkserver_preload_report()`` tells in any case.

    Raises TypeError for what is no list of names, ValueError for an unknown *on_error*.
    """
    global on_error_wish
    names = list(module_names)
    if isinstance(module_names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError("module_names must be a list of strings")
    if on_error not in _ON_ERROR:
        raise ValueError(f"on_error must be one of {', '.join(map(repr, _ON_ERROR))}, not {on_error!r}")
    modules[:] = names
    on_error_wish = on_error


def forkserver_preload_report() -> list[tuple[str, str]]:
    """Return (module, traceback) for each module that the running fork server could not preload."""
    return list(report)
