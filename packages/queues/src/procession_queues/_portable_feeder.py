"""What writes into a pipe that may be full: directly where it fits, else a thread of the process that puts.

``put()`` of an unbounded queue must return although nobody reads. A message that fits into the pipe's free atomic
write is written at once, so it is visible when ``put()`` returns and no thread exists; anything else waits in a buffer.
"""

from __future__ import annotations

import sys
import threading
from collections import deque

from procession_core import Finalize, debug, register_after_fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_ATOMIC = 4000  # below PIPE_BUF on Linux, header included
_SMALLEST_PIPE_BUF = 500


def _can_write(descriptor: int) -> bool:
    if sys.platform == "win32":
        return False  # nothing tells
    import select

    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    return bool(poller.poll(0))


class Feeder:
    """The buffer and the thread of one queue in one process."""

    def __init__(self, writer: Any, lock: Any, failed: Callable[[BaseException, object], None]) -> None:
        self._writer = writer
        self._lock = lock
        self._failed = failed
        self._direct = sys.platform != "win32"
        self._limit = _ATOMIC if sys.platform == "linux" else _SMALLEST_PIPE_BUF if self._direct else 0
        self._join_at_exit = True
        self.reset()
        register_after_fork(self, Feeder.reset)

    def reset(self) -> None:
        """Forget the buffer, which a fork copied: its messages are the parent's to write."""
        self._ready = threading.Condition(threading.Lock())
        self._buffer: deque[bytes] = deque()
        self._busy = False
        self._ending = False
        self._thread: threading.Thread | None = None
        self._finalizer: Finalize | None = None

    def send(self, data: bytes) -> None:
        """Write a message or leave it to the thread; never blocks."""
        with self._ready:
            idle = self._direct and not self._buffer and not self._busy
            if idle and len(data) <= self._limit and self._write_now(data):
                return
            self._buffer.append(data)
            if self._thread is None:
                self._start()
            self._ready.notify()

    def _write_now(self, data: bytes) -> bool:
        if not self._lock.acquire(False):
            return False
        try:
            if not _can_write(self._writer.fileno()):
                return False
            self._writer.send_bytes(data)
            return True
        finally:
            self._lock.release()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="QueueFeederThread", daemon=True)
        self._thread.start()
        if self._join_at_exit:
            self._finalizer = Finalize(None, self.finish, exitpriority=-5)

    def _run(self) -> None:
        while True:
            with self._ready:
                self._busy = False
                while not self._buffer:
                    if self._ending:
                        return
                    self._ready.wait()
                data = self._buffer.popleft()
                self._busy = True
            try:
                with self._lock:
                    self._writer.send_bytes(data)
            except BrokenPipeError:
                debug("nobody reads the queue any more; the feeder thread ends")
                return
            except Exception as error:
                self._failed(error, data)
                return

    def end(self) -> None:
        """Let the thread end when the buffer is written."""
        with self._ready:
            self._ending = True
            self._ready.notify()

    def finish(self) -> None:
        """Wait until the buffer is written."""
        self.end()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        if self._finalizer is not None:
            self._finalizer.cancel()

    def do_not_wait_at_exit(self) -> None:
        """Let the process end although messages are in the buffer; they are lost then."""
        self._join_at_exit = False
        if self._finalizer is not None:
            self._finalizer.cancel()
