"""Frames on a descriptor: picks the C core's functions or their portable siblings.

Both offer the same functions; docs/internals/wire-format.md gives the layout of a frame.

- ``kind_of(fd)``: one of the kinds in ``_kinds``.
- ``send(fd, kind, data)``: write one frame; *data* is bytes-like and contiguous.
- ``send_plain(fd, kind, obj)``: pickle and write a small plain value; False, with nothing written, if it is none.
- ``send_fds(fd, kind, data, fds)``: the same with descriptors beside its first byte.
- ``recv(fd, kind, limit)``: the next message as bytes; None if it is longer than *limit* (-1 for no limit).
- ``recv_fds(fd, kind)``: the next message; a tuple of it and a list of descriptors where some came with it.
- ``recv_into(fd, kind, buffer)``: the length of the next message, read into *buffer*; the message itself
  where it does not fit.
- ``read_soon(fd, size, timeout)``: at most *size* bytes of a socket, empty at its end; None if there are none within
  *timeout* seconds, which are spent looking: microseconds.
- ``poll(fd, timeout)``: whether something can be read within *timeout* seconds (None for ever).
- ``wait(fds, timeout)``: the positions in *fds* of those that can be read.
- ``close(fd)``: close it.
- ``read(fd, size)``, ``write(fd, data)``: at most *size* bytes of a socket; how many of *data* it took.

Receiving raises EOFError at the end of the stream between two messages and OSError inside one.
"""

from __future__ import annotations

import os
import sys

from ._variant import core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    kind_of: Callable[[int], int]
    send: Callable[[int, int, Any], None]
    send_plain: Callable[[int, int, Any], bool]
    send_fds: Callable[[int, int, Any, Sequence[int]], None]
    recv: Callable[[int, int, int], bytes | None]
    recv_fds: Callable[[int, int], bytes | tuple[bytes, list[int]]]
    recv_into: Callable[[int, int, Any], int | bytes]
    read_soon: Callable[[int, int, float], bytes | None]
    poll: Callable[[int, float | None], bool]
    wait: Callable[[Sequence[int], float | None], list[int]]
    close: Callable[[int], None]
    read: Callable[[int, int], bytes]
    write: Callable[[int, bytes], int]

if core is not None:
    kind_of = core.frame_kind
    send = core.frame_send
    send_plain = core.frame_send_plain
    send_fds = core.frame_send_fds
    recv = core.frame_recv
    recv_fds = core.frame_recv_fds
    recv_into = core.frame_recv_into
    read_soon = core.frame_read_soon
    poll = core.frame_poll
    wait = core.pipe_wait
    close = os.close
    read = os.read
    write = os.write
elif sys.platform == "win32":
    from . import _framing_windows

    kind_of = _framing_windows.kind_of
    send = _framing_windows.send
    send_plain = _framing_windows.send_plain
    send_fds = _framing_windows.send_fds
    recv = _framing_windows.recv
    recv_fds = _framing_windows.recv_fds
    recv_into = _framing_windows.recv_into
    read_soon = _framing_windows.read_soon
    poll = _framing_windows.poll
    wait = _framing_windows.wait
    close = _framing_windows.close
    read = _framing_windows.read
    write = _framing_windows.write
else:
    from . import _framing_portable

    kind_of = _framing_portable.kind_of
    send = _framing_portable.send
    send_plain = _framing_portable.send_plain
    send_fds = _framing_portable.send_fds
    recv = _framing_portable.recv
    recv_fds = _framing_portable.recv_fds
    recv_into = _framing_portable.recv_into
    read_soon = _framing_portable.read_soon
    poll = _framing_portable.poll
    wait = _framing_portable.wait
    close = os.close
    read = os.read
    write = os.write
