"""Which variant carries the bytes: the C core's framed reads and writes, or plain reads and writes."""

from __future__ import annotations

import procession_native
from procession_core import native_requested

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

core: Any = procession_native.core if native_requested() else None
