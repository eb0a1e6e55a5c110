"""How a pool and its worker processes exchange records.

Contract of the siblings: ``open_hub()`` and ``open_link(hub)``.

A hub has ``wait lead supervise refill ring_leader any drain`` as ``procession_native._core.Hub``, and for the
pool's thread ``wait_all(channels, sentinels, timeout)``, ``wake()`` and ``close()``.  A link has ``channel``
(the pool's side: ``send message cut state times ready``), ``started()``, ``close()``, ``stack_fd``,
``read_stack()``, ``dump_stack(pid)``; in the worker ``open()`` returns its side (``next run emit in_hand
positions drained``).
"""

from __future__ import annotations

import os

from procession_shm import native

from ._stacks import DUMP_SIGNAL, NO_MEMORY

TYPE_CHECKING = False

# Where there is no eventfd a hub has nothing that its thread can wait for together with processes.
if native is not None and hasattr(os, "eventfd"):
    from ._native import open_hub, open_link
else:
    if not TYPE_CHECKING:
        from ._portable import open_hub, open_link

__all__ = ("DUMP_SIGNAL", "NO_MEMORY", "open_hub", "open_link")
