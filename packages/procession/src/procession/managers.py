"""Managers and proxies (``multiprocessing.managers``)."""

from __future__ import annotations

import procession_managers
from procession_managers import *  # noqa: F403 - one list, in the leaf

__all__ = procession_managers.__all__
