"""Descriptors that other processes fetch later (``multiprocessing.resource_sharer``)."""

from __future__ import annotations

from procession_connection import DupFd
from procession_connection import stop_sharing as stop

__all__ = ("DupFd", "stop")
