"""Connection, Pipe, Listener, Client, wait, authentication, TLS."""

from __future__ import annotations

__all__: tuple[str, ...] = ()
