"""Long messages of a pipe, which travel piece by piece to a reader that waits."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time

import pytest

from procession_connection import Pipe, wait
from procession_core import BufferTooShort

MB = 1 << 20
FROM = 4 * MB
PIECE = 256 << 10
pytestmark = [pytest.mark.native_only, pytest.mark.timeout(120)]


@pytest.fixture(params=[True, False], ids=["duplex", "simplex"])
def ends(request, leak_check):
    reader, writer = Pipe(request.param)
    with reader, writer:
        yield reader, writer


def pattern(size):
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@contextlib.contextmanager
def sending(call, *args):
    """Call it in a thread meanwhile; afterwards it has ended. Yields a list that gets the exception, if any."""
    raised = []

    def run():
        try:
            call(*args)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield raised
    finally:
        thread.join(60)
        assert not thread.is_alive()


def awaited(reader):
    """Let a sender see a reader that waits: so the next long message is a stream for certain."""
    assert not reader.poll(0.001)


@pytest.mark.parametrize("extra", [-1, 0, 1, PIECE - 1, PIECE, PIECE + 1, 13 * MB + 7])
def test_bytes_of_all_sizes(ends, extra):
    reader, writer = ends
    data = pattern(FROM + extra)
    for send, receive in ((writer.send_bytes, reader.recv_bytes), (writer.send, reader.recv)):
        awaited(reader)
        with sending(send, data):
            assert receive() == data
    awaited(reader)
    with sending(writer.send_bytes, bytearray(data)):
        room = bytearray(len(data) + 3)
        assert reader.recv_bytes_into(room, 2) == len(data)
        assert room[2:-1] == data
    assert not reader.poll()


def test_objects_and_bytes_of_objects(ends):
    reader, writer = ends
    thing = [pattern(3 * MB), "text" * MB, 3.5]
    data = pattern(5 * MB)
    awaited(reader)
    with sending(writer.send, thing):
        assert reader.recv() == thing
    awaited(reader)
    with sending(writer.send, thing):
        assert pickle.loads(reader.recv_bytes()) == thing
    awaited(reader)
    with sending(writer.send, data):
        assert pickle.loads(reader.recv_bytes()) == data
    awaited(reader)
    with sending(writer.send_bytes, pickle.dumps(thing)):
        assert reader.recv() == thing


def test_what_does_not_fit(ends):
    reader, writer = ends
    data = pattern(5 * MB)
    awaited(reader)
    with sending(writer.send_bytes, data):
        with pytest.raises(BufferTooShort) as caught:
            reader.recv_bytes_into(bytearray(len(data) - 1))
        assert caught.value.args == (data,)
    awaited(reader)
    with sending(writer.send_bytes, data) as raised, pytest.raises(OSError, match="bad message length"):
        reader.recv_bytes(len(data) - 1)
    assert not raised


def test_one_that_cannot_be_loaded_costs_only_itself(ends):
    reader, writer = ends
    awaited(reader)
    with sending(writer.send_bytes, b"\x80\x04?" + bytes(5 * MB)), pytest.raises(pickle.UnpicklingError):
        reader.recv()
    writer.send("next")
    assert reader.recv() == "next"


def test_without_a_reader_the_sender_goes_on(ends):
    reader, writer = ends
    data = pattern(8 * MB)
    writer.send_bytes(data)
    assert reader.recv_bytes() == data


def test_others_send_meanwhile(ends):
    reader, writer = ends
    data = pattern(20 * MB)
    awaited(reader)
    with sending(writer.send_bytes, data):
        assert wait([reader], 60) == [reader]
        writer.send("second")
        assert reader.recv_bytes() == data
        assert reader.recv() == "second"


def test_the_memory_is_used_again():
    from procession_native import core

    reader, writer = Pipe()
    data = pattern(64 * MB)
    before = core.memory()["used"]
    for _ in range(3):
        awaited(reader)
        with sending(writer.send_bytes, data):
            assert wait([reader], 60)
            assert core.memory()["used"] - before < 4 * MB
            assert reader.recv_bytes() == data
    reader.close()
    writer.close()


@pytest.fixture
def forked(ends):
    """Run something in a forked child, which has only one of the ends."""
    children = []

    def fork(keeps, call):
        reader, writer = ends
        pid = os.fork()
        if not pid:
            try:
                (writer if keeps is reader else reader).close()
                call()
            finally:
                os._exit(0)
        children.append(pid)
        keeps.close()
        return pid

    yield fork
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_sender_that_dies_in_the_middle(ends, forked):
    reader, writer = ends
    awaited(reader)
    pid = forked(writer, lambda: writer.send_bytes(pattern(20 * MB)))
    assert wait([reader], 60) == [reader]
    time.sleep(0.05)  # as much as there is room for is written
    kill(pid)
    with pytest.raises(OSError, match="got end of file during message"):
        reader.recv_bytes()
    with pytest.raises(EOFError):
        reader.recv_bytes()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_receiver_that_dies_before_it_has_begun(ends, forked):
    reader, writer = ends
    awaited(reader)
    pid = forked(reader, lambda: time.sleep(60))
    with sending(writer.send_bytes, pattern(20 * MB)) as raised:
        time.sleep(0.05)
        kill(pid)
    assert [type(error) for error in raised] == [BrokenPipeError]


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_receiver_that_dies_in_the_middle_while_others_have_its_end(ends, forked):
    reader, writer = ends
    told, tell = os.pipe()
    awaited(reader)

    def receive():
        # The handler runs between two pieces, and stays there.
        signal.signal(signal.SIGALRM, lambda *_: (os.write(tell, b"x"), time.sleep(60)))
        wait([reader])
        signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
        while True:
            reader.recv_bytes()

    keep = os.dup(reader._handle)
    pid = forked(reader, receive)
    with sending(writer.send_bytes, pattern(100 * MB)) as raised:
        os.read(told, 1)
        kill(pid)
    assert not raised or type(raised[0]) is BrokenPipeError
    for fd in (told, tell, keep):
        os.close(fd)


class Stop(Exception):
    pass


@contextlib.contextmanager
def stopped_soon():
    def stop(*_):
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(Stop):
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_stops_the_sender(ends):
    reader, writer = ends
    awaited(reader)
    with stopped_soon():
        writer.send_bytes(pattern(20 * MB))
    with pytest.raises(OSError, match="got end of file during message"):
        reader.recv_bytes()
    writer.send("next")
    assert reader.recv() == "next"


def test_a_signal_stops_the_receiver(ends, forked):
    reader, writer = ends

    def send_slowly():
        awaited(reader)
        writer.send_bytes(pattern(20 * MB))
        writer.send("next")

    # The sender is stopped before it has written all; the receiver waits for the rest.
    pid = os.fork()
    if not pid:
        send_slowly()
        os._exit(0)
    assert wait([reader], 60) == [reader]
    os.kill(pid, signal.SIGSTOP)
    with stopped_soon():
        reader.recv_bytes()
    os.kill(pid, signal.SIGCONT)
    assert reader.recv() == "next"
    os.waitpid(pid, 0)
