"""Messages of a Pipe in the arena: order, ends, blocking, and the change to the descriptor."""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from procession_connection import Connection, Pipe, recv_handle, send_handle, wait
from procession_core import BufferTooShort, default_reducer

pytestmark = [pytest.mark.native_only, pytest.mark.timeout(60)]
MARK = b"\xff\xff\xff\xfe"


@pytest.fixture(params=[True, False], ids=["duplex", "simplex"])
def ends(request):
    reader, writer = Pipe(request.param)
    with reader, writer:
        yield reader, writer


def child(call, *args):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            call(*args)
            code = 0
        finally:
            os._exit(code)
    return pid


def exit_code(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_thread(call):
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def readable(fd):
    return bool(select.select([fd], [], [], 0)[0])


def ring_is_used(connection):
    return (connection._in or connection._out) is not None


# ---- objects and bytes -----------------------------------------------------------------------------------------------

OBJECTS = [
    None,
    True,
    0,
    -(2**80),
    1.5,
    "text",
    "\udc80",
    b"bytes",
    (1, [2]),
    {"a": b"x" * 100_000},
    b"y" * 100_000,
]


def test_objects_arrive_as_they_were(ends):
    reader, writer = ends
    for obj in OBJECTS:
        writer.send(obj)
        got = reader.recv()
        assert got == obj and type(got) is type(obj)
    assert ring_is_used(reader) and ring_is_used(writer)


def test_bytes_of_objects_are_pickles_and_pickles_are_objects(ends):
    reader, writer = ends
    for obj in OBJECTS:
        writer.send(obj)
        assert pickle.loads(reader.recv_bytes()) == obj
        writer.send_bytes(pickle.dumps(obj))
        assert reader.recv() == obj
        writer.send(obj)
        room = bytearray(300_000)
        assert pickle.loads(room[: reader.recv_bytes_into(room)]) == obj


def test_bytes_of_a_message_that_names_blocks(ends):
    numpy = pytest.importorskip("numpy")
    reader, writer = ends
    array = numpy.arange(100_000)
    for _ in range(3):
        writer.send({"array": array})
        assert (pickle.loads(reader.recv_bytes())["array"] == array).all()
        writer.send([array, array[::2].copy()])
        assert (reader.recv()[0] == array).all()


def test_limits_of_bytes(ends):
    reader, writer = ends
    for size in (0, 1, 100, 16384, 16385, 200_000):
        writer.send_bytes(b"z" * size)
        assert reader.recv_bytes(size) == b"z" * size
        writer.send_bytes(b"z" * size)
        room = bytearray(size + 3)
        assert reader.recv_bytes_into(room, 3) == size and room == bytes(3) + b"z" * size
    writer.send_bytes(b"too long")
    with pytest.raises(BufferTooShort) as caught:
        reader.recv_bytes_into(bytearray(3))
    assert caught.value.args[0] == b"too long"
    writer.send_bytes(b"12345")
    with pytest.raises(OSError, match="bad message length"):
        reader.recv_bytes(4)
    with pytest.raises(OSError):
        reader.recv_bytes()


# ---- ends ------------------------------------------------------------------------------------------------------------


def test_the_end_after_what_was_sent(ends):
    reader, writer = ends
    writer.send(1)
    writer.close()
    assert reader.poll()
    assert reader.recv() == 1
    assert reader.poll(0) and wait([reader], 0) == [reader]
    for _ in range(2):
        with pytest.raises(EOFError):
            reader.recv()
    with pytest.raises(EOFError):
        reader.recv_bytes()


def give_up(end, way):
    """In a child: end soon, in this way; by exiting, if it is none of those here."""
    time.sleep(0.2)
    if way == "close":
        end.close()
        time.sleep(60)
    elif way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("way", ["close", "exit", "kill"])
def test_a_reader_asleep_hears_of_the_end(ends, way):
    reader, writer = ends
    ready, told = os.pipe()

    def hold():
        reader.close()
        os.write(told, b"x")
        give_up(writer, way)

    pid = child(hold)
    writer.close()
    os.read(ready, 1)
    began = time.monotonic()
    with pytest.raises(EOFError):
        reader.recv()
    assert time.monotonic() - began < 30
    if way == "close":
        os.kill(pid, signal.SIGKILL)
    exit_code(pid)
    os.close(ready)
    os.close(told)


def test_copies_in_other_processes_count(ends):
    reader, writer = ends
    go, tell = os.pipe()
    pid = child(lambda: os.read(go, 1) and writer.send("late"))
    writer.close()
    assert not reader.poll(0.1)
    os.write(tell, b"x")
    assert reader.recv() == "late"
    with pytest.raises(EOFError):
        reader.recv()
    assert exit_code(pid) == 0
    os.close(go)
    os.close(tell)


@pytest.mark.parametrize("way", ["close", "exit", "kill"])
def test_sending_to_nobody(ends, way):
    reader, writer = ends
    if way == "close":
        writer.send(1)
        reader.close()
    else:
        pid = child(lambda: reader.recv() and way == "kill" and os.kill(os.getpid(), signal.SIGKILL))
        reader.close()
        writer.send(1)
        exit_code(pid)
    for _ in range(2):
        with pytest.raises(BrokenPipeError) as caught:
            writer.send(2)
        assert caught.value.errno == 32
    with pytest.raises(BrokenPipeError):
        writer.send_bytes(b"x")


@pytest.mark.parametrize("way", ["close", "exit", "kill"])
def test_a_sender_without_room_hears_that_nobody_reads(ends, way):
    reader, writer = ends

    def hold():
        writer.close()
        reader.recv_bytes()
        give_up(reader, way)

    pid = child(hold)
    reader.close()
    began = time.monotonic()
    with pytest.raises(BrokenPipeError):
        while True:
            writer.send_bytes(bytes(50_000))
    assert time.monotonic() - began < 30
    if way == "close":
        os.kill(pid, signal.SIGKILL)
    exit_code(pid)


# ---- blocking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1000, 100_000, 5_000_000])
def test_a_sender_waits_for_room(ends, size):
    reader, writer = ends
    sent = []
    many = 30_000 if size < 1000 else 3000 if size == 1000 else 30

    def send():
        for i in range(many):
            writer.send_bytes(struct.pack("!i", i) + bytes(size))
            sent.append(i)

    thread = in_thread(send)
    deadline = time.monotonic() + 10
    before = -1
    while len(sent) != before and time.monotonic() < deadline:
        before = len(sent)
        time.sleep(0.2)
    assert len(sent) < many and thread.is_alive()
    for i in range(many):
        assert struct.unpack_from("!i", reader.recv_bytes())[0] == i
    thread.join(10)
    assert not thread.is_alive() and not reader.poll()


@pytest.mark.parametrize("call", ["recv", "poll", "wait", "send"])
def test_signals_interrupt(ends, call):
    reader, writer = ends

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    old = signal.signal(signal.SIGALRM, stop)
    began = time.monotonic()
    try:
        with pytest.raises(Stop):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            if call == "recv":
                reader.recv()
            elif call == "poll":
                reader.poll(None)
            elif call == "wait":
                wait([reader])
            else:
                while True:
                    writer.send_bytes(bytes(100_000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - began < 30


def test_both_ends_in_threads():
    here, there = Pipe()

    def echo():
        while (obj := there.recv()) is not None:
            there.send(obj)

    thread = in_thread(echo)
    for i in range(2000):
        here.send(i)
        assert here.recv() == i
    here.send(None)
    thread.join(10)
    assert not thread.is_alive()
    here.close()
    there.close()


def test_many_messages_between_processes(ends):
    reader, writer = ends

    def send():
        for i in range(20_000):
            writer.send((i, b"x" * (i * 7919 % 3000)))
            if i % 1000 == 0:
                time.sleep(0.002)

    pid = child(send)
    writer.close()
    for i in range(20_000):
        if i % 1500 == 0:
            time.sleep(0.003)
        number, data = reader.recv()
        assert number == i and len(data) == i * 7919 % 3000
    with pytest.raises(EOFError):
        reader.recv()
    assert exit_code(pid) == 0


# ---- waiting ---------------------------------------------------------------------------------------------------------


def test_poll_waits(ends):
    reader, writer = ends
    assert not reader.poll() and not reader.poll(0.05)
    pid = child(lambda: (time.sleep(0.1), writer.send("x")))
    assert reader.poll(10)
    assert reader.poll()
    assert reader.recv() == "x" and not reader.poll()
    assert exit_code(pid) == 0


def test_wait_for_rings_and_others():
    pairs = [Pipe(duplex) for duplex in (True, False) * 3]
    readers = [reader for reader, _ in pairs]
    one, other = socket.socketpair()
    everything = [*readers, one]
    try:
        assert wait(everything, 0) == [] == wait(everything, 0.05)
        pairs[1][1].send(1)
        pairs[4][1].send(4)
        other.send(b"x")
        assert wait(everything) == [readers[1], readers[4], one]
        assert readers[1].recv() == 1 and readers[4].recv() == 4 and one.recv(1) == b"x"
        assert wait(everything, 0.01) == []
        for number in (0, 3, 5):
            pid = child(lambda n=number: (time.sleep(0.05), pairs[n][1].send(n)))
            assert wait(everything, 20) == [readers[number]]
            assert readers[number].recv() == number
            assert exit_code(pid) == 0
        pairs[2][1].close()
        assert wait(everything) == [readers[2]]
        assert all(ring_is_used(reader) for reader in readers)
    finally:
        for reader, writer in pairs:
            reader.close()
            writer.close()
        one.close()
        other.close()


# ---- the descriptor --------------------------------------------------------------------------------------------------


def test_order_is_kept_when_the_descriptor_takes_over(ends):
    reader, writer = ends
    for i in range(3):
        writer.send(i)
    writer.fileno()
    for i in range(3, 6):
        writer.send(i)
    assert [reader.recv() for _ in range(6)] == list(range(6))
    assert not ring_is_used(writer) and not reader.poll()
    writer.send("more")
    assert reader.poll() and reader.recv() == "more"


def test_the_descriptor_is_readable_while_messages_are_left(ends):
    reader, writer = ends
    writer.send(1)
    writer.send(2)
    fd = reader.fileno()
    assert readable(fd) and reader.fileno() == fd
    assert reader.recv() == 1 and readable(fd)
    assert reader.recv() == 2 and not readable(fd)
    writer.send(3)
    assert readable(fd) and reader.fileno() == fd and wait([reader]) == [reader]
    assert reader.recv() == 3 and not readable(fd) and not reader.poll()
    writer.close()
    assert readable(fd)
    with pytest.raises(EOFError):
        reader.recv()


def test_frames_are_what_others_read(ends):
    reader, writer = ends
    fd = reader.fileno()
    assert not readable(fd)
    writer.send_bytes(b"hello")
    assert os.read(fd, 100) == b"\x00\x00\x00\x05hello"


@pytest.mark.parametrize("who", ["reader", "writer"])
def test_marks_are_not_seen_in_the_descriptor(ends, who):
    reader, writer = ends
    got = []
    thread = in_thread(lambda: got.append(reader.recv()))
    time.sleep(0.2)  # asleep
    writer.send("wakes")
    thread.join(10)
    assert got == ["wakes"]
    assert not reader.poll(0.01)  # leaves a wish to be woken behind
    writer.send("marked")
    if who == "writer":
        writer.fileno()
    assert reader.recv() == "marked"
    fd = reader.fileno()
    assert not readable(fd)
    writer.send_bytes(b"frame")
    assert os.read(fd, 100) == b"\x00\x00\x00\x05frame"


def test_a_reader_asleep_goes_on_at_the_descriptor(ends):
    reader, writer = ends
    got = []
    thread = in_thread(lambda: got.append(reader.recv()))
    time.sleep(0.2)
    writer.fileno()
    writer.send("by the descriptor")
    thread.join(10)
    assert got == ["by the descriptor"]


def test_a_process_that_was_started_with_the_descriptor(ends):
    reader, writer = ends
    program = (
        "import sys\nfrom multiprocessing.connection import Connection\n"
        "with Connection(int(sys.argv[1]), writable=False) as c:\n    print(c.recv(), c.recv())\n"
    )
    fd = reader.fileno()
    done = subprocess.Popen(
        [sys.executable, "-c", program, str(fd)], pass_fds=[fd], stdout=subprocess.PIPE, text=True
    )
    writer.send("one")
    writer.send([2])
    assert done.communicate(timeout=30)[0].split() == ["one", "[2]"]
    with Connection(os.dup(reader.fileno()), writable=False) as copy:
        writer.send({"three": 3})
        assert copy.recv() == {"three": 3}


def test_asyncio_watches_the_descriptor(ends):
    reader, writer = ends
    writer.send(0)

    async def main():
        loop = asyncio.get_running_loop()
        got = []
        done = loop.create_future()

        def ready():
            got.append(reader.recv())
            if len(got) == 3:
                done.set_result(None)

        loop.add_reader(reader.fileno(), ready)
        writer.send(1)
        loop.call_later(0.05, writer.send, 2)
        await asyncio.wait_for(done, 10)
        loop.remove_reader(reader.fileno())
        writer.send(3)
        assert await asyncio.wait_for(reader.async_recv(), 10) == 3
        return got

    assert asyncio.run(main()) == [0, 1, 2]


def test_descriptors_in_messages_and_by_hand():
    here, there = Pipe()
    reader, writer = Pipe(duplex=False)
    here.send("before")
    here.send(writer)
    here.send("after")
    assert there.recv() == "before"
    copy = there.recv()
    assert there.recv() == "after"
    copy.send("through the copy")
    assert reader.recv() == "through the copy"
    there.send("the other way")  # which is still in the arena
    assert here.recv() == "the other way" and ring_is_used(here)
    # In a thread: from Python 3.14 on it waits for the receiver.
    sending = in_thread(lambda: send_handle(here, writer._handle, os.getpid()))
    os.close(recv_handle(there))
    sending.join(30)
    assert not sending.is_alive()
    for connection in (here, there, reader, writer, copy):
        connection.close()


def test_a_pickle_without_a_destination_is_of_the_descriptor(ends):
    reader, writer = ends
    data = default_reducer.dumps(writer)
    with default_reducer.loads(data) as copy:
        copy.send("hello")
        assert reader.recv() == "hello"


def test_a_huge_message_goes_through_the_descriptor(ends):
    reader, writer = ends
    data = bytes(140 << 20)
    thread = in_thread(lambda: (writer.send(1), writer.send_bytes(data), writer.send([data]), writer.send(2)))
    assert reader.recv() == 1
    assert reader.recv_bytes() == data
    assert reader.recv() == [data]
    assert reader.recv() == 2
    thread.join(10)


# ---- leaks -----------------------------------------------------------------------------------------------------------


def used():
    from procession_native import core

    core.sweep()
    for _ in range(50):
        core.Block(1)
    return core.memory()["used"]


def test_nothing_is_left_behind(leak_check):
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(20_000)

    def use(duplex):
        reader, writer = Pipe(duplex)
        for obj in (1, b"x" * 100_000, array, {"a": array}):
            writer.send(obj)
        reader.recv()
        reader.fileno()
        reader.recv()
        pid = child(lambda: os.kill(os.getpid(), signal.SIGKILL))
        exit_code(pid)
        reader.close()
        writer.close()

    use(True)
    use(False)
    leak_check.rebase()
    before = used()
    for _ in range(10):
        use(True)
        use(False)
    assert used() == before
