"""Connections between threads (``multiprocessing.dummy.connection``)."""

from __future__ import annotations

from procession_dummy import Client, Connection, Listener, Pipe, families

__all__ = ("Client", "Connection", "Listener", "Pipe", "families")
