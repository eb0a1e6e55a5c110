"""What a child that the fork server forks ahead does before it knows whom it will be.

A forked process copies each page when it first writes to it, and taking a reference is writing: the work of a start
is 120 such pages. They are written to here, by doing that work for nobody, so that the start itself finds them copied.
"""

from __future__ import annotations

import os
import sys

if sys.platform != "linux":
    raise ImportError("procession_process._spare needs Linux")

from sys import modules

from procession_core import default_reducer, runtime, transfer_scope
from procession_core._lifecycle import after_forkers

from . import _child
from ._bootstrap import become, flush_streams
from ._messages import pair, receive, transmit
from ._process import ForkServerProcess


class _Nowhere:
    """The transfer of a start that does not happen."""

    spawning = True

    def hold(self, shared: object) -> None: ...

    def send_fd(self, fd: int) -> None: ...


def _nothing() -> None: ...


class Rehearsal:
    """For a fork server's spares, which ``run()`` it."""

    def __init__(self) -> None:
        with transfer_scope(_Nowhere()):
            first = default_reducer.dumps(("forkserver-spare", -1, -1, -1))
            second = default_reducer.dumps(ForkServerProcess(target=_nothing))
        self._payload = b"".join((len(first).to_bytes(8, "little"), first, second))

    def run(self) -> None:
        """Do what the start of a child does, as far as it can be done again."""
        # Without the program's main module, which may not have been imported yet, and has effects.
        main, _child.server_main = _child.server_main, None
        process, _ = _child.take_place([], *_child.split_payload(memoryview(self._receive())), True)
        _child.server_main = main
        # What people have registered to be called once in a child is called by the child.
        if not after_forkers and "multiprocessing" not in modules:
            current = runtime.current
            become(process, None)
            runtime.current = current
        process.run()
        flush_streams()

    def _receive(self) -> bytes:
        one, other = pair()
        transmit(one, self._payload, (0,))
        payload, fds = receive(other)
        for fd in (*(fds or ()), one, other):
            os.close(fd)
        return payload
