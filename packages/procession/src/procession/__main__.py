"""``python -m procession``: run a program with ``multiprocessing`` replaced by this package."""

from __future__ import annotations

from procession._command import main

__all__ = ("main",)

if __name__ == "__main__":
    main()
