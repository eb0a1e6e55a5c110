"""Starting several children at once where nothing is saved by it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._process import BaseProcess


def start_all(processes: Sequence[BaseProcess], before: object = None) -> None:
    """Start *processes*, in their order. Raises what ``start()`` raises; those before may be running then."""
    for process in processes:
        process.start()
