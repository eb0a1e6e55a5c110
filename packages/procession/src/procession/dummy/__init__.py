"""The same API on threads (``multiprocessing.dummy``)."""

from __future__ import annotations

import procession_dummy
from procession_dummy import *  # noqa: F403 - one list, in the leaf

from . import connection

__all__ = procession_dummy.__all__
