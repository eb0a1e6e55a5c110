"""Support for frozen executables: they are their own interpreter, so a child starts as the program itself."""

from __future__ import annotations

import sys
from importlib import import_module

_MODULES = ("_child", "_zygote")


def is_forking(arguments: list[str]) -> bool:
    """Say whether the command line *arguments* are those of a child of a frozen program."""
    return (
        len(arguments) > 3 and arguments[1] == "--multiprocessing-fork" and arguments[2].startswith("module=")
    )


def freeze_support() -> None:
    """In a child of a frozen program: run it and end the process. Anywhere else: nothing.

    To be called first thing under ``if __name__ == "__main__"``.
    """
    if getattr(sys, "frozen", False) and is_forking(sys.argv):
        module = sys.argv[2].removeprefix("module=")
        unblock = sys.argv[3] == "unblock=1"
        if module in _MODULES:
            import_module(f".{module}", __package__).main([int(fd) for fd in sys.argv[4:]], unblock)
