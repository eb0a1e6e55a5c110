"""``ShutDown``: the standard library's where it has one (Python 3.13), so that one except clause catches
both.
"""

from __future__ import annotations

import sys

if sys.version_info >= (3, 13):
    from queue import ShutDown as ShutDown
else:

    class ShutDown(Exception):
        """Raised by ``put()`` and ``get()`` of a queue that was shut down."""
