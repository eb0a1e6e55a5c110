"""What is received ahead of its turn on TCP is found by whoever receives next."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import select
import socket
import struct
import threading
import time
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession_connection import Connection, Listener, Pipe, wait
from procession_core import BufferTooShort

LONG = b"L" * 200


def frames(*messages):
    return b"".join(struct.pack("!i", len(message)) + message for message in messages)


class Ends:
    """A connection over TCP and a peer that writes raw bytes."""

    def __init__(self):
        with Listener(("127.0.0.1", 0)) as listener:
            self.peer = socket.create_connection(listener.address)
            self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection = listener.accept()

    def write(self, data):
        self.peer.sendall(data)

    def ahead(self, *messages, cut=None):
        """Let the connection have taken *messages*, or their first *cut* bytes, with a shorter one before them."""
        self.write(frames(LONG))
        assert self.connection.recv_bytes() == LONG
        data = frames(*messages)
        self.write(frames(b"short") + (data if cut is None else data[:cut]))
        assert self.connection.recv_bytes() == b"short"
        if cut is not None:
            self.write(data[cut:])

    def close(self):
        self.peer.close()
        self.connection.close()


@pytest.fixture
def ends(leak_check):
    made = Ends()
    yield made
    made.close()


@pytest.mark.native_only
def test_short_messages_are_received_ahead(ends):
    ends.ahead(b"one", b"two")
    assert select.select([ends.connection._handle], [], [], 0)[0] == []
    assert ends.connection.poll()


def test_nothing_is_lost_or_reordered(ends):
    ends.ahead(b"one", b"", b"three", b"x" * 150)
    assert [ends.connection.recv_bytes() for _ in range(4)] == [b"one", b"", b"three", b"x" * 150]
    ends.write(frames(b"last"))
    assert ends.connection.recv_bytes() == b"last"


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_message_of_which_a_part_is_here(ends, cut):
    ends.ahead(b"abcde", pickle.dumps("after"), cut=cut)
    assert ends.connection.recv_bytes() == b"abcde"
    assert ends.connection.recv() == "after"


def test_objects_and_their_pickles(ends):
    class_of_ours = pickle.dumps(struct.Struct)
    ends.ahead(pickle.dumps([1, {"a": None}]), class_of_ours, pickle.dumps("x" * 10_000))
    assert ends.connection.recv() == [1, {"a": None}]
    assert ends.connection.recv() is struct.Struct
    assert ends.connection.recv() == "x" * 10_000


def test_poll_and_wait_know_of_it(ends):
    other, far = Pipe()
    assert not ends.connection.poll()
    ends.ahead(b"one", b"two")
    assert ends.connection.poll() and ends.connection.poll(None)
    start = time.monotonic()
    assert wait([other, ends.connection], 60) == [ends.connection]
    assert wait([ends.connection]) == [ends.connection]
    far.send(1)
    assert wait([other, ends.connection], 60) == [other, ends.connection]
    assert time.monotonic() - start < 30
    assert ends.connection.recv_bytes() == b"one" and ends.connection.poll()
    assert ends.connection.recv_bytes() == b"two" and not ends.connection.poll()
    assert wait([ends.connection], 0) == []
    other.close()
    far.close()


def test_wait_asks_those_that_know_better_than_their_descriptor(ends):
    silent, far = Pipe()
    ends.ahead(b"one")
    for readable, knows in ((False, False), (False, True), (True, False), (True, True)):
        if readable:
            far.send(1)
        object_list = [
            ends.connection,
            types.SimpleNamespace(fileno=silent.fileno, _has_input=lambda knows=knows: knows),
        ]
        assert wait(object_list, 60) == object_list[: 1 + knows]
        if readable:
            silent.recv()
    silent.close()
    far.close()


def test_the_descriptor_is_readable_as_long_as_something_is_here(ends):
    ends.ahead(b"one", b"two")
    fd = ends.connection.fileno()
    for message in (b"one", b"two"):
        assert select.select([fd], [], [], 0)[0] == [fd]
        assert wait([ends.connection], 0) == [ends.connection]
        assert ends.connection.recv_bytes() == message
    assert select.select([fd], [], [], 0)[0] == []
    ends.write(frames(b"three"))
    assert select.select([fd], [], [], 60)[0] == [fd]
    assert ends.connection.fileno() == fd
    assert ends.connection.recv_bytes() == b"three"


def test_nothing_is_taken_ahead_once_the_descriptor_is_known(ends):
    fd = ends.connection.fileno()
    ends.ahead(b"one", b"two")
    assert os.read(fd, 100) == frames(b"one", b"two")


def test_buffers_and_limits(ends):
    ends.ahead(b"one", b"four", b"seven77")
    room = bytearray(6)
    assert ends.connection.recv_bytes_into(room, 2) == 3
    assert bytes(room) == b"\0\0one\0"
    with pytest.raises(BufferTooShort) as caught:
        ends.connection.recv_bytes_into(room, 4)
    assert caught.value.args == (b"four",)
    with pytest.raises(OSError, match="bad message length"):
        ends.connection.recv_bytes(6)
    with pytest.raises(OSError):
        ends.connection.recv_bytes()


def test_the_end_of_the_stream(ends):
    ends.ahead(b"one", b"two")
    ends.peer.close()
    assert ends.connection.recv_bytes() == b"one"
    assert ends.connection.recv_bytes() == b"two"
    assert ends.connection.poll()
    with pytest.raises(EOFError):
        ends.connection.recv_bytes()


def test_the_end_inside_a_message(ends):
    ends.ahead(b"one", b"two", cut=5)
    assert ends.connection.poll()
    ends.peer.shutdown(socket.SHUT_WR)
    assert ends.connection.recv_bytes() == b"one"
    assert ends.connection.recv_bytes() == b"two"
    with pytest.raises(EOFError):
        ends.connection.recv_bytes()


def test_the_end_inside_what_is_here(ends):
    ends.write(frames(LONG))
    ends.connection.recv_bytes()
    ends.write(frames(b"short") + frames(b"cut off")[:7])
    ends.peer.close()
    assert ends.connection.recv_bytes() == b"short"
    with pytest.raises(OSError, match="end of file during message"):
        ends.connection.recv_bytes()


def test_awaiting(ends):
    ends.ahead(pickle.dumps("one"), pickle.dumps("two"), cut=20)

    async def both():
        return await ends.connection.async_recv(), await ends.connection.async_recv()

    assert asyncio.run(both()) == ("one", "two")


def in_child(call):
    """Fork; return what *call* returned in the child, as text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writing, repr(call()).encode())
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    return text


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_finds_it_and_it_is_received_once(ends):
    ends.ahead(b"one", b"two", b"three", b"four")
    assert in_child(lambda: (ends.connection.poll(), ends.connection.recv_bytes())) == repr((True, b"one"))
    assert ends.connection.recv_bytes() == b"two"
    assert in_child(lambda: [ends.connection.recv_bytes() for _ in range(2)]) == repr([b"three", b"four"])
    assert not ends.connection.poll()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_nothing_is_taken_ahead_of_a_forked_child(ends):
    assert in_child(lambda: None) == "None"
    ends.ahead(b"one", b"two")
    assert in_child(lambda: ends.connection.recv_bytes()) == repr(b"one")
    assert ends.connection.recv_bytes() == b"two"


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_while_a_thread_receives(ends):
    ends.write(frames(LONG))
    assert ends.connection.recv_bytes() == LONG
    received = []
    thread = threading.Thread(target=lambda: received.append(ends.connection.recv_bytes()))
    thread.start()
    state = f"/proc/self/task/{thread.native_id}/stat"
    while os.path.exists(state) and open(state).read().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.001)
    go, told = os.pipe()

    def child():
        os.read(go, 1)
        return ends.connection.recv_bytes()

    def tell():
        ends.write(frames(b"short", b"one", b"two"))
        thread.join(60)
        os.write(told, b"x")

    teller = threading.Timer(0.2, tell)
    teller.start()
    assert in_child(child) == repr(b"one")
    teller.join()
    assert received == [b"short"]
    assert ends.connection.recv_bytes() == b"two"
    os.close(go)
    os.close(told)


def test_it_goes_with_a_connection_that_is_sent(ends):
    first, second = Pipe()
    ends.ahead(b"one", b"two", b"three", cut=10)
    first.send(ends.connection)
    with second.recv() as received:
        assert received.recv_bytes() == b"one"
        assert ends.connection.recv_bytes() == b"two"
        assert received.recv_bytes() == b"three"
        assert not ends.connection.poll() and not received.poll()
    first.close()
    second.close()


def test_it_goes_with_a_connection_that_a_process_gets(ends, mp_context, leak_check):
    leak_check.allow(descriptors=16, children=2)  # a fork server, a sharing thread
    ends.ahead(b"one", b"two")
    near, far = mp_context.Pipe()
    process = mp_context.Process(target=pass_on, args=(ends.connection, far))
    process.start()
    assert near.recv() == b"one"
    assert ends.connection.recv_bytes() == b"two"
    process.join()
    near.close()
    far.close()


def pass_on(connection, answers):
    answers.send(connection.recv_bytes())


@pytest.mark.native_only
def test_it_does_not_leave_the_tree_unnoticed(ends):
    with Listener(family="AF_UNIX") as listener:
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(listener.address)
        with listener.accept() as plain:
            ends.ahead(b"one")
            with pytest.raises(OSError, match="receive that message before"):
                plain.send(ends.connection)
            assert ends.connection.recv_bytes() == b"one"
        peer.close()


def test_two_threads_that_take_turns(ends):
    lock = threading.Lock()
    received = []

    def take():
        while True:
            with lock:
                try:
                    received.append(ends.connection.recv_bytes())
                except EOFError:
                    return

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    chance = random.Random(5)
    sent = [b"%d:" % index + b"." * chance.randrange(300) for index in range(2000)]
    ends.write(frames(*sent))
    ends.peer.shutdown(socket.SHUT_WR)
    for thread in threads:
        thread.join(60)
    assert received == sent


messages = st.lists(
    st.one_of(st.binary(max_size=60), st.integers(0, 9000).map(bytes), st.binary(min_size=50, max_size=400)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(messages, st.lists(st.integers(1, 300), max_size=30), st.randoms(use_true_random=False))
def test_any_messages_in_any_pieces(sent, cuts, chance):
    ends = Ends()
    try:
        data = frames(*sent)

        def write():
            at = 0
            for cut in cuts:
                ends.write(data[at : at + cut])
                at += cut
            ends.write(data[at:])

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for message in sent:
                if chance.random() < 0.3:
                    room = bytearray(len(message) + chance.randrange(3))
                    assert ends.connection.recv_bytes_into(room) == len(message)
                    assert room[: len(message)] == message
                else:
                    assert ends.connection.recv_bytes() == message
        finally:
            thread.join()  # also where hypothesis gives an example up
        assert not ends.connection.poll()
    finally:
        ends.close()


def test_a_connection_of_somebody_elses_descriptor_takes_nothing_ahead():
    one, two = socket.socketpair()
    connection = Connection(one.detach())
    two.sendall(frames(LONG) + frames(b"x", b"y"))
    assert connection.recv_bytes() == LONG
    assert connection.recv_bytes() == b"x"
    assert os.read(connection.fileno(), 100) == frames(b"y")
    connection.close()
    two.close()
