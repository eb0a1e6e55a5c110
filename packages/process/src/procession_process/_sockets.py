"""Sockets as arguments of children. Loaded when the first one is pickled: most programs need no connections."""

from __future__ import annotations

from procession_connection import reduce_socket

__all__ = ("reduce_socket",)
