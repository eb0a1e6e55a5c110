"""Which server this thread works for, and whose answer it is reading."""

from __future__ import annotations

from _thread import _local

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Serving(_local):
    server: Any = None
    """The server whose requests this thread carries out."""
    link: Any = None
    """The link of the server whose answer is being unpickled."""
    transit: bytes | None = None
    """The reference that came with the pickle of the proxy that is being made."""


serving = _Serving()
