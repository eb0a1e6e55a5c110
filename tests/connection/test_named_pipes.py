"""AF_PIPE: messages over the named pipes of Windows."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import time

import pytest

from procession_connection import Client, Listener, Pipe, recv_handle, send_handle, wait
from procession_core import AuthenticationError, BufferTooShort, ForkingPickler, NotSupportedError
from procession_core import TimeoutError as LateError

if sys.platform != "win32":
    pytest.skip("named pipes are those of Windows; test_named_pipes_logic.py tests what can be tested elsewhere",
                allow_module_level=True)  # fmt: skip

from procession_connection import PipeConnection

pytestmark = pytest.mark.timeout(60)
KEY = b"key"
PATIENCE = 20


class Accepting:
    """Accepts in a thread; ``result()`` is the connection, or raises what accept() raised."""

    def __init__(self, listener):
        self.listener = listener
        self.found = []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            self.found.append(self.listener.accept())
        except BaseException as error:
            self.found.append(error)

    def result(self):
        self.thread.join(PATIENCE)
        (found,) = self.found
        if isinstance(found, BaseException):
            raise found
        return found


@pytest.fixture(params=[None, KEY])
def pair(request):
    with Listener(None, "AF_PIPE", authkey=request.param) as listener:
        accepting = Accepting(listener)
        client = Client(listener.address, authkey=request.param)
        accepted = accepting.result()
    with client, accepted:
        yield client, accepted


def test_default_family_and_class():
    with Listener() as listener:
        assert listener.address.startswith("\\\\.\\pipe\\")
        assert listener.last_accepted is None
        accepting = Accepting(listener)
        with Client(listener.address) as client, accepting.result() as accepted:
            assert type(client) is type(accepted) is PipeConnection


def test_round_trips(pair):
    client, accepted = pair
    for value in (1, "text", [None, {2: b"3"}], b"x" * 100_000):
        sender = threading.Thread(target=client.send, args=(value,))
        sender.start()
        assert accepted.recv() == value
        sender.join()
        accepted.send_bytes(pickle.dumps(value)[:60_000])
        assert client.recv_bytes() == pickle.dumps(value)[:60_000]


@pytest.mark.parametrize("pair", [KEY], indirect=True)
def test_buffers_out_of_band(pair):
    client, accepted = pair
    sender = threading.Thread(target=client.send, args=(pickle.PickleBuffer(bytearray(b"q" * 300_000)),))
    sender.start()
    assert bytes(accepted.recv()) == b"q" * 300_000
    sender.join()


def test_messages_of_no_bytes_are_not_lost_by_waiting(pair):
    client, accepted = pair
    for _ in range(3):
        client.send_bytes(b"")
    client.send_bytes(b"next")
    for _ in range(3):
        assert accepted.poll() and accepted.poll(1) and wait([accepted], 1) == [accepted]
        assert accepted.recv_bytes() == b""
    assert accepted.recv_bytes() == b"next"
    assert not accepted.poll()
    threading.Timer(0.2, client.send_bytes, (b"",)).start()
    assert wait([accepted], PATIENCE) == [accepted]
    assert accepted.recv_bytes() == b"" and not accepted.poll()


def test_recv_bytes_into(pair):
    client, accepted = pair
    client.send_bytes(b"abcdef")
    room = bytearray(8)
    assert accepted.recv_bytes_into(room, 1) == 6
    assert room == b"\0abcdef\0"
    client.send_bytes(b"0123456789" * 2000)
    with pytest.raises(BufferTooShort) as caught:
        accepted.recv_bytes_into(bytearray(3))
    assert caught.value.args[0] == b"0123456789" * 2000
    client.send(1)
    assert accepted.recv() == 1


@pytest.mark.parametrize("size", [100, 20_000])
def test_maxlength(pair, size):
    client, accepted = pair
    client.send_bytes(b"y" * size)
    assert accepted.recv_bytes(size) == b"y" * size
    client.send_bytes(b"y" * size)
    with pytest.raises(OSError, match="bad message length"):
        accepted.recv_bytes(size - 1)
    assert not accepted.readable


def test_end(pair):
    client, accepted = pair
    client.send_bytes(b"last")
    client.close()
    assert accepted.recv_bytes() == b"last"
    assert accepted.poll() and wait([accepted], 1) == [accepted]
    with pytest.raises(EOFError):
        accepted.recv()
    with pytest.raises(BrokenPipeError):
        accepted.send(1)
    with pytest.raises(OSError, match="closed"):
        client.send(1)


def test_end_wakes_who_waits(pair):
    client, accepted = pair
    threading.Timer(0.2, client.close).start()
    assert wait([accepted], PATIENCE) == [accepted]
    with pytest.raises(EOFError):
        accepted.recv()


def test_poll_gives_up_in_time(pair):
    begun = time.monotonic()
    assert not pair[1].poll(0.3)
    assert 0.2 < time.monotonic() - begun < 10


def test_wait_over_all_kinds(pair):
    client, accepted = pair
    first, second = socket.socketpair()
    reader, writer = Pipe(duplex=False)
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    process = int(child._handle)
    objects = [accepted, first, reader, process]
    try:
        assert wait(objects, 0.1) == []
        client.send(1)
        assert wait(objects, PATIENCE) == [accepted]
        assert accepted.recv() == 1
        second.send(b"x")
        assert wait(objects, PATIENCE) == [first]
        first.recv(1)
        writer.send(2)
        assert wait(objects, PATIENCE) == [reader]
        assert reader.recv() == 2
        threading.Timer(0.2, client.send, (3,)).start()
        assert wait(objects, PATIENCE) == [accepted]
        assert accepted.recv() == 3
        child.communicate(b"\n")
        assert wait(objects, PATIENCE) == [process]
    finally:
        child.kill()
        child.wait()
        for one in (first, second, reader, writer):
            one.close()


def test_listener_can_be_waited_for():
    with Listener(None, "AF_PIPE") as listener:
        assert wait([listener], 0.1) == []
        for _ in range(2):
            with Client(listener.address):
                assert wait([listener], PATIENCE) == [listener]
                listener.accept().close()


def test_wrong_key():
    with Listener(None, "AF_PIPE", authkey=KEY) as listener:
        accepting = Accepting(listener)
        with pytest.raises(AuthenticationError):
            Client(listener.address, authkey=b"wrong")
        with pytest.raises(AuthenticationError):
            accepting.result()
        accepting = Accepting(listener)
        with Client(listener.address, authkey=KEY) as client, accepting.result() as accepted:
            client.send(1)
            assert accepted.recv() == 1


def test_silent_client_holds_up_nobody_and_is_dropped():
    with Listener(None, "AF_PIPE", authkey=KEY, handshake_timeout=2) as listener:
        accepting = Accepting(listener)
        with Client(listener.address) as silent:
            with Client(listener.address, authkey=KEY) as client:
                accepting.result().close()
                with pytest.raises(EOFError):
                    client.recv()
            accepting = Accepting(listener)
            assert silent.recv_bytes().startswith(b"#CHALLENGE#")
            with pytest.raises(EOFError):
                silent.recv_bytes()
        listener.close()
        with pytest.raises(OSError, match="closed"):
            accepting.result()


def test_long_message_before_the_proof_drops_the_client():
    with Listener(None, "AF_PIPE", authkey=KEY) as listener:
        accepting = Accepting(listener)
        with Client(listener.address) as hostile:
            hostile.send_bytes(b"x" * 5000)
            assert hostile.recv_bytes().startswith(b"#CHALLENGE#")
            with pytest.raises(EOFError):
                hostile.recv_bytes()
        with Client(listener.address, authkey=KEY):
            accepting.result().close()


def test_many_clients():
    clients = 30
    doubled = []

    def ask(address, number):
        with Client(address, authkey=KEY, timeout=PATIENCE) as client:
            client.send(number)
            doubled.append(client.recv())

    with Listener(None, "AF_PIPE", authkey=KEY) as listener:
        threads = [
            threading.Thread(target=ask, args=(listener.address, n), daemon=True) for n in range(clients)
        ]
        for thread in threads:
            thread.start()
        for _ in threads:
            with listener.accept() as connection:
                connection.send(connection.recv() * 2)
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(doubled) == [2 * n for n in range(clients)]


def test_client_gone_before_accept():
    with Listener(None, "AF_PIPE") as listener:
        with Client(listener.address) as client:
            client.send("gone")
        with listener.accept() as accepted:
            assert accepted.recv() == "gone"


def test_close_wakes_accept():
    listener = Listener(None, "AF_PIPE")
    accepting = Accepting(listener)
    time.sleep(0.2)
    listener.close()
    with pytest.raises(OSError, match="listener is closed"):
        accepting.result()
    with pytest.raises(OSError, match="listener is closed"):
        listener.accept()


def test_nobody_there():
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        Client(r"\\.\pipe\nothing-here", "AF_PIPE")


def test_busy_listener_and_timeout():
    with Listener(None, "AF_PIPE") as listener, Client(listener.address):
        begun = time.monotonic()
        with pytest.raises(LateError, match="accepts nobody"):
            Client(listener.address, timeout=0.5)
        assert time.monotonic() - begun < 10


def test_silent_listener_and_timeout():
    with Listener(None, "AF_PIPE", authkey=KEY) as listener, pytest.raises(LateError, match="no answer"):
        Client(listener.address, authkey=KEY, timeout=0.5)


def test_name_can_be_taken_once():
    with Listener(None, "AF_PIPE") as listener:
        try:
            with Listener(listener.address, "AF_PIPE"):
                pytest.skip("this Windows ignores FILE_FLAG_FIRST_PIPE_INSTANCE, as Wine 8 does")
        except PermissionError as error:
            assert error.filename == listener.address


def test_pickled_connection(pair):
    client, accepted = pair
    client.send_bytes(b"")
    assert accepted.poll()
    copy = pickle.loads(bytes(ForkingPickler.dumps(accepted)))
    accepted.close()
    with copy:
        assert copy.recv_bytes() == b""
        client.send(1)
        assert copy.recv() == 1
        copy.send(2)
        assert client.recv() == 2


def test_pickled_listener_is_refused():
    with (
        Listener(None, "AF_PIPE") as listener,
        pytest.raises(TypeError, match="named pipe cannot be pickled"),
    ):
        ForkingPickler.dumps(listener)


def test_handles_over_a_connection(pair):
    client, accepted = pair
    reader, writer = Pipe(duplex=False)
    with reader, writer:
        send_handle(client, reader.fileno(), os.getpid())
        handle = recv_handle(accepted)
        assert handle != reader.fileno()
        writer.send("through")
        from procession_connection import Connection

        with Connection(handle, writable=False) as copy:
            assert copy.recv() == "through"
        with pytest.raises(ValueError, match="destination_pid"):
            send_handle(client, reader.fileno(), None)


def test_refusals(pair):
    import asyncio
    import ssl

    with pytest.raises(NotSupportedError):
        asyncio.run(pair[0].async_recv())
    with pytest.raises(ValueError, match="ssl is for TCP"):
        Listener(None, "AF_PIPE", ssl=ssl.create_default_context())
    with pytest.raises(ValueError, match="AF_UNIX"):
        Listener(None, "AF_UNIX")


@pytest.mark.parametrize("ours_listens", [True, False])
def test_standard_library_at_the_other_end(ours_listens):
    theirs = pytest.importorskip("multiprocessing.connection")
    listen, connect = (Listener, theirs.Client) if ours_listens else (theirs.Listener, Client)
    with listen(None, "AF_PIPE", authkey=KEY) as listener:
        accepting = Accepting(listener)
        with connect(listener.address, authkey=KEY) as client, accepting.result() as accepted:
            client.send([1])
            assert accepted.recv() == [1]
            sender = threading.Thread(target=accepted.send_bytes, args=(b"x" * 50_000,))
            sender.start()
            assert client.recv_bytes() == b"x" * 50_000
            sender.join()
            # To poll its own end for a message of no bytes does the standard library no good under Wine.
            own, other = (accepted, client) if ours_listens else (client, accepted)
            other.send_bytes(b"")
            assert own.poll(5) and own.recv_bytes() == b""
