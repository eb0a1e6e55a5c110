"""Messages: the pickle of an object, its big buffers in blocks of the arena, and what it names there.

FORMAT of ``Message.data``

- without buffers: the pickle itself, whose first byte is 0x80
- with buffers: byte 0x01; 4 bytes count; for each buffer 8 bytes arena id, 8 offset, 8 generation, 4 kind,
  4 flags (1: read-only at its source), 8 size in bytes; then the pickle. Machine's byte order: it never
  leaves the machine.

``Message.refs`` lists every arena object that the data names, the blocks included. Whoever carries the
message keeps references of its own on them until the receiver has its own.
"""

from __future__ import annotations

from ._native import native

TYPE_CHECKING = False
if TYPE_CHECKING or native is None:
    from ._messages_portable import Message, pack, unpack
else:
    from ._messages_native import Message, pack, unpack

__all__ = ("Message", "pack", "unpack")
