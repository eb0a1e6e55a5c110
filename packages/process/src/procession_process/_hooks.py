"""What a part that is not always loaded adds to the parts that are."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

after_join: Callable[[], object] | None = None
"""Called when ``join()`` has found a child to have ended."""
