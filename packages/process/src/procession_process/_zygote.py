"""The fork server's process: one thread, modules loaded, forks on request.

It speaks over SOCK_SEQPACKET pairs, so that every message is whole or not there:

| direction | message | with descriptors |
| --- | --- | --- |
| owner to zygote, first | ``B`` payload: the preparation, what to load | as with ``F`` |
| client to zygote | ``F`` slot generation (two u64; both 2**64-1 without the C core) payload | those of the start; a
payload that is not in the message is the last |
| zygote to client | ``R`` pickle of [(module, traceback)]: first message to the owner, what could not be preloaded | |
| zygote to client | ``P`` pid (u32): forked | a pidfd of the child |
| child to client | ``Q`` pid (u32): the zygote was killed, I am forked | a pidfd of the child |
| zygote to client | ``E`` errno (u32): not forked | |
| zygote to client | ``S`` pid (u32) wait status (u32): the child has ended | |
| zygote to spare | the client's ``F``: be that child | as they came, and the client's connection |
| zygote to spare | ``g``: the client was told | |
| anyone to the door | ``C``: a new client | its end of a pair |

The pidfd is opened before the child can be reaped, so it is the child's for sure. The status goes to the client that
asked for the child, because only a parent can wait for a status and the zygote is the parent. A new child waits for
one byte, which is written after the client was told. If the end comes instead, the zygote was killed in that moment,
and maybe had told the client: the child tells it then, over the connection that it keeps open until it is past this
point, and goes. A client to which ``Q`` names the child that it knows of already ignores it; one that sees the end of
the connection without either knows that nothing was started, and may ask another zygote.

From the first start on there is a *spare*: a child forked ahead, with all done that does not depend on what it will
be, which waits for the message that tells it. The next one is forked while it works. It ends with the zygote. A
zygote with threads, which a preloaded module has started, has none: what they change, a child must have.
The zygote itself ends when its owner, all clients and all children are gone.
"""

from __future__ import annotations

import errno
import gc
import os
import sys

if sys.platform != "linux":
    raise ImportError("procession_process._zygote needs Linux")

from _signal import SIG_IGN, default_int_handler  # type: ignore[import-not-found]
from _signal import signal as set_handler
from _thread import _count as count_threads
from select import EPOLLIN, EPOLLOUT, epoll

from procession_core import runtime

from . import _child, _door
from ._bootstrap import flush_and_exit, flush_streams
from ._fds import set_received
from ._main import import_main
from ._messages import pair, receive, transmit
from ._native import (
    attach,
    begin_child,
    forked,
    is_severed,
    leave,
    move,
    next_fork_uses,
    note_exit,
    set_exit_status,
    started,
)
from ._unpickler import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from ._preparation import Preparation
    from ._spare import Rehearsal

_SIGINT = 2
_NO_SLOT = (1 << 64) - 1
_HEAD = 17
_REPORT_LIMIT = 60_000


class _Client:
    """One process that asks for children."""

    __slots__ = ("fd", "pending")

    def __init__(self, fd: int) -> None:
        self.fd = fd  # -1 when it is gone
        self.pending: list[bytes] = []


class _Spare:
    """A child that has no client yet."""

    __slots__ = ("fd", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, fd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.fd = fd


class _Zygote:
    def __init__(self, owner: int, door_reads: int, later: list[str]) -> None:
        self.later: list[str] | None = later
        self.rehearsal: Rehearsal | None = None
        self.spare: _Spare | None = None
        self.started = False
        self.poller = epoll()
        self.epoll = self.poller.fileno()
        self.clients: dict[int, _Client] = {}
        self.children: dict[
            int, tuple[int, _Client, tuple[int, int] | None]
        ] = {}  # pidfd -> pid, client, slot
        self.door_reads = door_reads
        self.poller.register(self.door_reads, EPOLLIN)
        self.owner = self.add_client(owner)

    def add_client(self, fd: int) -> _Client:
        os.set_blocking(fd, False)
        client = self.clients[fd] = _Client(fd)
        self.poller.register(fd, EPOLLIN)
        return client

    def send(self, client: _Client, message: bytes, fds: tuple[int, ...] = ()) -> None:
        """Send, or keep for later what a client with a full buffer does not take. A dead client gets
        nothing.
        """
        if client.fd < 0:
            return
        try:
            if not client.pending:
                try:
                    transmit(client.fd, message, fds)
                    return
                except BlockingIOError:
                    pass
            if fds:
                os.set_blocking(client.fd, True)  # the client waits for this one
                try:
                    self.flush(client)
                    transmit(client.fd, message, fds)
                finally:
                    os.set_blocking(client.fd, False)
            else:
                client.pending.append(message)
                self.poller.modify(client.fd, EPOLLIN | EPOLLOUT)
        except OSError:
            pass

    def flush(self, client: _Client) -> None:
        while client.pending:
            transmit(client.fd, client.pending[0], ())
            del client.pending[0]
        self.poller.modify(client.fd, EPOLLIN)

    def drop(self, fd: int) -> None:
        client = self.clients.pop(fd)
        self.poller.unregister(fd)
        os.close(fd)
        client.fd = -1
        client.pending.clear()

    def serve(self) -> None:
        while self.clients or self.children:
            for fd, events in self.poller.poll():
                if fd in self.children:
                    self.reap(fd)
                elif fd == self.door_reads:
                    self.open_door()
                elif self.spare is not None and fd == self.spare.pidfd:
                    if os.waitpid(self.spare.pid, os.WNOHANG)[0]:
                        self.bury_spare()
                elif fd in self.clients:
                    client = self.clients[fd]
                    if events & EPOLLOUT and client.pending:
                        try:
                            self.flush(client)
                        except BlockingIOError:
                            pass
                        except OSError:
                            client.pending.clear()
                    if events & ~EPOLLOUT:
                        self.listen(fd, client)

    def open_door(self) -> None:
        _, fds = receive(self.door_reads)
        for fd in fds or ():  # who finds no room sees that its connection is closed
            self.add_client(fd)

    def listen(self, fd: int, client: _Client) -> None:
        try:
            message, fds = receive(client.fd)
        except BlockingIOError:
            return
        except OSError:
            message, fds = b"", []
        if not message:
            self.drop(fd)
            return
        if fds is None:
            self.send(client, b"E" + _u32(errno.EMFILE))
            return
        if self.spare is None or not self.use_spare(self.spare, client, message, fds):
            self.fork(client, message, fds)
        for fd in fds:
            os.close(fd)
        # The first start is not kept waiting for what the second may need.
        if self.started:
            self.want_spare()
        self.started = True

    def fork(self, client: _Client, message: bytes, fds: list[int]) -> None:
        slot = _slot_of(message)
        flush_streams()
        next_fork_uses(slot)
        try:
            go_reads, go_writes = os.pipe()
            fds += (go_reads, go_writes)
            pid = os.fork()
        except OSError as error:
            self.send(client, b"E" + _u32(error.errno or 0))
        else:
            if pid == 0:
                if is_severed():
                    os._exit(1)
                os.close(go_writes)
                self.become_child(client, message, fds[:-2], go_reads)
            try:
                forked(pid)
            except MemoryError:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
                self.send(client, b"E" + _u32(errno.ENOMEM))
            else:
                self.adopt(pid, client, slot)
                os.write(go_writes, b"g")

    def want_spare(self) -> None:
        if self.later is not None:
            _preload(self.later, None)
            self.later = None
            _freeze()
        if self.spare is None and count_threads() == 0:
            self.make_spare()

    def make_spare(self) -> None:
        """Fork a child that waits. If it cannot be had, the next start will say why, if it is still so."""
        if self.rehearsal is None:
            spare = __import__(f"{__package__}._spare", fromlist=("Rehearsal",))
            self.rehearsal = spare.Rehearsal()
            self.rehearsal.run()  # so that the children find warm caches
        try:
            mine, its = pair()
        except OSError:
            return
        try:
            pid = os.fork()
            if pid == 0:
                os.close(mine)
                self.become_spare(its)
            self.adopt_spare(pid, mine)
        except (OSError, MemoryError):
            os.close(mine)
        finally:
            os.close(its)

    def adopt_spare(self, pid: int, fd: int) -> None:
        try:
            forked(pid)
            pidfd = os.pidfd_open(pid)
        except (OSError, MemoryError):
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            raise
        self.poller.register(pidfd, EPOLLIN)
        self.spare = _Spare(pid, pidfd, fd)

    def use_spare(self, spare: _Spare, client: _Client, message: bytes, fds: list[int]) -> bool:
        """Let *spare* be the child that *message* asks for; False if it has died."""
        if os.waitpid(spare.pid, os.WNOHANG)[0]:
            self.bury_spare()
            return False
        slot = _slot_of(message)
        started(slot, spare.pid)
        self.spare = None
        self.children[spare.pidfd] = (spare.pid, client, slot)
        try:
            transmit(spare.fd, message, [*fds, client.fd])
        except OSError:
            pass  # it was killed a moment ago: a child that has not come far
        self.send(client, b"P" + _u32(spare.pid), (spare.pidfd,))
        try:
            transmit(spare.fd, b"g", ())
        except OSError:
            pass
        os.close(spare.fd)
        os.sched_yield()  # it is the child's turn; the next spare has time
        return True

    def bury_spare(self) -> None:
        """Forget a spare that has ended, and was waited for."""
        spare, self.spare = self.spare, None
        if spare is not None:
            note_exit(spare.pid, 0)
            self.poller.unregister(spare.pidfd)
            os.close(spare.pidfd)
            os.close(spare.fd)

    def adopt(self, pid: int, client: _Client, slot: tuple[int, int] | None) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            self.send(client, b"E" + _u32(error.errno or 0))
            return
        self.children[pidfd] = (pid, client, slot)
        self.poller.register(pidfd, EPOLLIN)
        self.send(client, b"P" + _u32(pid), (pidfd,))

    def reap(self, pidfd: int) -> None:
        pid, client, slot = self.children[pidfd]
        found, status = os.waitpid(pid, os.WNOHANG)
        if found == 0:
            return
        del self.children[pidfd]
        self.poller.unregister(pidfd)
        os.close(pidfd)
        set_exit_status(slot, status)
        self.send(client, b"S" + _u32(pid) + _u32(status))
        if self.clients:
            self.want_spare()

    def forget(self, kept: int = -1) -> None:
        """In a child: close what is the zygote's, except the connection with descriptor *kept*."""
        # The descriptors: a method called on each object copies more pages. The objects are neither used nor dropped.
        close = os.close
        close(self.epoll)
        close(self.door_reads)
        for fd in self.clients:
            if fd != kept:
                close(fd)
        for pidfd in self.children:
            close(pidfd)
        if self.spare is not None:
            close(self.spare.pidfd)
            close(self.spare.fd)

    def become_child(self, client: _Client, message: bytes, fds: list[int], go: int) -> NoReturn:
        code = 1
        try:
            self.forget(client.fd)
            if not os.read(go, 1):
                _tell(client.fd)
            os.close(go)
            os.close(client.fd)
            code = _work(message, fds)
        finally:
            flush_and_exit(code)

    def become_spare(self, fd: int) -> NoReturn:
        code = 1
        try:
            self.forget()
            if begin_child is None or begin_child("forkserver-spare", False):
                code = self.await_message(fd)
        except BaseException:
            import traceback

            sys.stderr.write("A child of the fork server could not begin:\n")
            traceback.print_exc()
        finally:
            flush_and_exit(code)

    def await_message(self, fd: int) -> int:
        """In a spare: get ready, wait, and be what the message says; return the exit code."""
        if self.rehearsal is not None:
            self.rehearsal.run()
        message, fds = receive(fd)
        if not message:
            leave()
            return 0
        if fds is None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        move(_slot_of(message))
        client = fds.pop()
        if not os.read(fd, 1):
            _tell(client)
        os.close(client)
        os.close(fd)
        return _work(message, fds)


def _tell(client: int) -> None:
    """Say to *client* in the place of a zygote that was killed that this process is its child."""
    pid = os.getpid()
    pidfd = os.pidfd_open(pid)
    os.set_blocking(client, True)
    transmit(client, b"Q" + _u32(pid), (pidfd,))
    os.close(pidfd)


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _slot_of(message: bytes) -> tuple[int, int] | None:
    slot, generation = int.from_bytes(message[1:9], "little"), int.from_bytes(message[9:_HEAD], "little")
    return None if slot == _NO_SLOT else (slot, generation)


def _work(message: bytes, fds: list[int]) -> int:
    # `signal` would convert the number, and the old handler, to members of an enum.
    set_handler(_SIGINT, default_int_handler)
    payload = memoryview(message)[_HEAD:] if len(message) > _HEAD else None
    return _child.run(fds, attached=True, payload=payload)


def _preload(names: list[str], main: Any) -> list[tuple[str, str]]:
    """Import *names*; return what failed, with tracebacks."""
    failed = []
    for name in names:
        try:
            if name == "__main__":
                import_main(main)
            else:
                __import__(name)
        except BaseException:
            import traceback

            failed.append((name, traceback.format_exc()[-_REPORT_LIMIT // 10 :]))
    runtime.main = None  # children say what theirs is
    return failed


def _freeze() -> None:
    """Take all objects from the collector: a collection in a child would write to every page of every object."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def main(fds: list[int], unblock: bool) -> None:
    """Run the zygote and end the process. *fds*: the owner's connection, the door's two ends."""
    code = 1
    try:
        set_handler(_SIGINT, SIG_IGN)
        if unblock:
            _child.unblock_interrupt()
        owner, reads, writes = fds
        preparation, (own, names, wish) = _take_order(owner)
        attach(preparation.arena)
        _child.prepare(preparation)
        failed = _preload(names, preparation.main)
        # As its children are to find it, whatever the modules have changed.
        _child.take_common(preparation)
        _child.server_main = preparation.main
        runtime.start_method = runtime.forks_as = "forkserver"
        _door.door = writes
        # The first child is not kept waiting for modules that it may not need.
        zygote = _Zygote(owner, reads, own)
        zygote.send(zygote.owner, b"R" + dumps(failed[: _REPORT_LIMIT // 6000]))
        if not failed or wish != "fail":
            gc.freeze()
            flush_streams()
            zygote.serve()
        code = 0
    except BaseException:
        import traceback

        sys.stderr.write("The fork server has failed:\n")
        traceback.print_exc()
    finally:
        leave()
        flush_and_exit(code)


def _take_order(owner: int) -> tuple[Preparation, tuple[list[str], list[str], str]]:
    """Wait for the owner's first message: the preparation, and the modules to be loaded."""
    message, fds = receive(owner)
    if not message:
        os._exit(0)  # the owner is gone
    if fds is None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if len(message) > 1:
        first, second = _child.split_payload(memoryview(message)[1:])
    else:
        first, second = _child.read_payload(fds.pop())
    set_received(fds)
    return loads(first), loads(second)
