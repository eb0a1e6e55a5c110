"""What the package takes from the default context, as functions."""

from __future__ import annotations

from ._contexts import default_context

Manager = default_context.Manager
allow_connection_pickling = default_context.allow_connection_pickling
get_context = default_context.get_context

__all__ = ("Manager", "allow_connection_pickling", "get_context")
