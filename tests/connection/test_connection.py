"""Connections: objects, bytes, ranges, errors."""

from __future__ import annotations

import array
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procession_connection import Client as connect
from procession_connection import Connection, Listener, Pipe
from procession_core import BufferTooShort


def pipe_duplex():
    return Pipe()


def pipe_simplex():
    reader, writer = Pipe(duplex=False)
    return writer, reader


def tcp_pair():
    return listener_pair("AF_INET")


def unix_pair():
    return listener_pair("AF_UNIX")


def listener_pair(family):
    found = []
    with Listener(family=family, authkey=b"key") as listener:
        thread = threading.Thread(target=lambda: found.append(connect(listener.address, authkey=b"key")))
        thread.start()
        accepted = listener.accept()
        thread.join()
    return found[0], accepted


MAKERS = [pipe_duplex, pipe_simplex, tcp_pair, unix_pair]


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
def ends(request):
    writer, reader = request.param()
    yield writer, reader
    writer.close()
    reader.close()


def in_thread(call, *args):
    thread = threading.Thread(target=call, args=args)
    thread.start()
    return thread


def test_objects_arrive_in_order_and_whole(ends):
    writer, reader = ends
    for obj in (1, None, "text", b"bytes", [1, {"a": (2.5, ...)}], ValueError("x")):
        writer.send(obj)
        assert repr(reader.recv()) == repr(obj)


@pytest.mark.parametrize("size", [0, 1, 3, 16383, 16384, 16385, 65536, 131072, 131073, 262145, 3_000_001])
def test_sizes_around_every_boundary(ends, size):
    writer, reader = ends
    data = os.urandom(size)
    thread = in_thread(writer.send_bytes, data)
    assert reader.recv_bytes() == data
    thread.join()
    thread = in_thread(writer.send_bytes, data)
    room = bytearray(size + 7)
    assert reader.recv_bytes_into(room, 5) == size
    assert room[5 : 5 + size] == data
    thread.join()
    thread = in_thread(writer.send, data)
    assert reader.recv() == data
    thread.join()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=40_000), max_size=5), st.booleans())
def test_any_messages_round_trip(messages, duplex):
    reader, writer = Pipe(duplex)
    with reader, writer:
        thread = in_thread(lambda: [writer.send_bytes(message) for message in messages])
        assert [reader.recv_bytes() for _ in messages] == messages
        thread.join()
        assert not reader.poll()


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
        max_leaves=20,
    )
)
def test_any_object_round_trips(obj):
    reader, writer = Pipe()
    with reader, writer:
        writer.send(obj)
        assert reader.recv() == obj


def test_many_messages_wait_in_the_stream(ends):
    writer, reader = ends
    thread = in_thread(lambda: [writer.send(i) for i in range(20_000)])
    assert [reader.recv() for _ in range(20_000)] == list(range(20_000))
    thread.join()


def test_send_bytes_ranges():
    reader, writer = Pipe()
    text = b"abcdefghijklmnopqrstuvwxyz"
    with reader, writer:
        for arguments, expected in (
            ((), text),
            ((5,), text[5:]),
            ((7, 8), text[7:15]),
            ((26,), b""),
            ((26, 0), b""),
        ):
            writer.send_bytes(text, *arguments)
            assert reader.recv_bytes() == expected
        for arguments in ((27,), (22, 5), (26, 1), (-1,), (4, -1)):
            with pytest.raises(ValueError):
                writer.send_bytes(text, *arguments)
        with pytest.raises(TypeError):
            writer.send_bytes("text")
        writer.send_bytes(array.array("i", [1, 2]))
        assert reader.recv_bytes() == array.array("i", [1, 2]).tobytes()
        writer.send_bytes(memoryview(text)[::2])
        assert reader.recv_bytes() == text[::2]


def test_recv_bytes_into():
    reader, writer = Pipe()
    with reader, writer:
        numbers = array.array("i", [7] * 4)
        writer.send_bytes(numbers)
        room = array.array("i", [0] * 10)
        assert reader.recv_bytes_into(room, 3 * room.itemsize) == 4 * room.itemsize
        assert list(room) == [0, 0, 0, 7, 7, 7, 7, 0, 0, 0]
        writer.send_bytes(b"x" * 50)
        with pytest.raises(BufferTooShort) as caught:
            reader.recv_bytes_into(bytearray(49))
        assert caught.value.args == (b"x" * 50,)
        for offset in (-1, 50):
            with pytest.raises(ValueError):
                reader.recv_bytes_into(bytearray(49), offset)
        with pytest.raises(TypeError):
            reader.recv_bytes_into(b"read only")


def test_recv_bytes_keeps_to_its_limit():
    reader, writer = Pipe()
    with reader, writer:
        with pytest.raises(ValueError):
            reader.recv_bytes(-1)
        writer.send_bytes(b"12345")
        assert reader.recv_bytes(5) == b"12345"
        writer.send_bytes(b"12345")
        with pytest.raises(OSError, match="bad message length"):
            reader.recv_bytes(4)
        assert not reader.readable
        with pytest.raises(OSError, match="write-only"):
            reader.recv_bytes()
        reader.send(1)
    reader, writer = Pipe(duplex=False)
    with reader, writer:
        writer.send_bytes(b"12345")
        with pytest.raises(OSError, match="bad message length"):
            reader.recv_bytes(4)
        assert reader.closed


def test_closed_and_one_way_ends_refuse():
    reader, writer = Pipe(duplex=False)
    assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
    with pytest.raises(OSError, match="connection is read-only"):
        reader.send(1)
    with pytest.raises(OSError, match="connection is read-only"):
        reader.send_bytes(b"")
    for call in (writer.recv, writer.recv_bytes, writer.poll):
        with pytest.raises(OSError, match="connection is write-only"):
            call()
    reader.close()
    reader.close()
    assert reader.closed
    for call in (reader.recv, reader.poll, reader.fileno, lambda: reader.send(1)):
        with pytest.raises(OSError, match="handle is closed"):
            call()
    with pytest.raises(BrokenPipeError):
        writer.send(1)
    writer.close()


def test_end_of_stream(ends):
    writer, reader = ends
    writer.send("last")
    writer.close()
    assert reader.recv() == "last"
    assert reader.poll()
    for _ in range(2):
        with pytest.raises(EOFError):
            reader.recv()


def test_end_inside_a_message():
    reader, writer = Pipe(duplex=False)
    os.write(writer.fileno(), b"\0\0\0\x09abc")
    writer.close()
    with pytest.raises(OSError, match="got end of file during message"):
        reader.recv()
    reader.close()


@pytest.mark.parametrize("header", [b"\xff\xff\xff\xf0", b"\x80\0\0\0", b"\xff" * 12])
def test_impossible_lengths(header):
    reader, writer = Pipe(duplex=False)
    with reader, writer:
        os.write(writer.fileno(), header)
        with pytest.raises(OSError, match="bad message length"):
            reader.recv_bytes()


def test_the_long_header_is_read_for_short_messages_too():
    reader, writer = Pipe(duplex=False)
    with reader, writer:
        os.write(writer.fileno(), b"\xff\xff\xff\xff" + (3).to_bytes(8, "big") + b"abc")
        assert reader.recv_bytes() == b"abc"


def test_wrong_handles():
    with pytest.raises(ValueError, match="invalid handle"):
        Connection(-1)
    with pytest.raises(ValueError, match="at least one"):
        Connection(1, readable=False, writable=False)
    connection = Connection(44977608)
    with pytest.raises(OSError):
        connection.poll()
    with pytest.raises(OSError):
        connection.recv()
    connection._handle = None


def test_a_connection_on_a_bare_descriptor():
    reading, writing = os.pipe()
    with Connection(reading, writable=False) as reader, Connection(writing, readable=False) as writer:
        writer.send([1])
        assert reader.recv() == [1]


def test_recv_bytes_and_loads():
    reader, writer = Pipe()
    with reader, writer:
        writer.send({"a": 1})
        assert pickle.loads(reader.recv_bytes()) == {"a": 1}
        writer.send_bytes(pickle.dumps([1]))
        assert reader.recv() == [1]


def test_a_failed_pickle_sends_nothing(ends):
    writer, reader = ends
    with pytest.raises(TypeError):
        writer.send([1, threading.Lock()])
    assert not reader.poll()
    writer.send(1)
    assert reader.recv() == 1


def test_poll(ends):
    writer, reader = ends
    assert not reader.poll()
    assert not reader.poll(-1)
    assert not reader.poll(0.01)
    writer.send_bytes(b"")
    assert reader.poll() and reader.poll(None) and reader.poll(5)
    assert reader.recv_bytes() == b""
    for wrong in ("x", float("nan")):
        with pytest.raises((TypeError, ValueError)):
            reader.poll(wrong)


def test_messages_are_not_merged_and_polling_takes_nothing(ends):
    writer, reader = ends
    for message in (b"a", b"b", b"cd"):
        writer.send_bytes(message)
    for message in (b"a", b"b", b"cd"):
        assert reader.poll(1) and reader.poll(1)
        assert reader.recv_bytes() == message


def test_two_processes_read_one_end_message_by_message():
    # Nothing is read ahead: what one reader has not asked for stays for the other.
    reader, writer = Pipe()
    for number in range(10):
        writer.send(number)
    assert reader.recv() == 0
    pid = os.fork()
    if pid == 0:
        os._exit(0 if [reader.recv() for _ in range(4)] == [1, 2, 3, 4] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert [reader.recv() for _ in range(5)] == [5, 6, 7, 8, 9]
    reader.close()
    writer.close()


def test_a_signal_handler_runs_while_a_call_blocks(ends):
    writer, reader = ends
    seen = []

    def handler(number, frame):
        seen.append(number)
        if len(seen) == 1:
            writer.send("from the handler")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert reader.recv() == "from the handler"
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert not reader.poll(0.2)
        assert len(seen) == 2
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_exception_in_a_signal_handler_ends_a_blocked_send():
    reader, writer = Pipe()

    class Stop(Exception):
        pass

    def handler(number, frame):
        raise Stop

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(Stop):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            while True:  # one message may find room; the next one does not
                writer.send_bytes(bytes(50_000_000))
    finally:
        signal.signal(signal.SIGALRM, before)
        reader.close()
        writer.close()


def test_non_blocking_descriptors_work_too(ends):
    writer, reader = ends
    os.set_blocking(writer.fileno(), False)
    os.set_blocking(reader.fileno(), False)
    data = os.urandom(2_000_000)
    thread = in_thread(writer.send_bytes, data)
    assert reader.recv_bytes() == data
    thread.join()


def test_collected_connections_are_closed(leak_check):
    leak_check.rebase()
    for _ in range(5):
        Pipe()
        Pipe(duplex=False)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32 + 5])
def test_more_than_two_and_four_gigabytes(size):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    if memory < 2.6 * size:
        pytest.skip("not enough memory")
    reader, writer = Pipe(duplex=False)
    with reader, writer:
        pid = os.fork()
        if pid == 0:
            # Pages that were never written cost nothing.
            import mmap

            writer.send_bytes(mmap.mmap(-1, size))
            os._exit(0)
        got = reader.recv_bytes()
        assert len(got) == size
        os.waitpid(pid, 0)


@pytest.mark.parametrize(("module", "name"), [("_connection", "_framing"), ("_listener", "os")])
def test_dropped_when_its_module_is_taken_apart(module: str, name: str) -> None:
    # As an interpreter without the GIL does at its end.
    program = textwrap.dedent(f"""
        import procession_connection as connection
        import procession_connection.{module} as module
        ends, listener = connection.Pipe(), connection.Listener(("127.0.0.1", 0))
        module.{name} = None
        del ends, listener
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
