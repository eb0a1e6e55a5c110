"""Listener and Client: families, keys, slow and hostile clients, leaks."""

from __future__ import annotations

import os
import pickle
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

import pytest

from procession_connection import Client, Listener, address_type, arbitrary_address, create_response, families
from procession_core import AuthenticationError, TimeoutError, runtime  # noqa: A004

FAMILIES = [*families, "AF_INET6"] if socket.has_ipv6 else list(families)


def talk(address, key, **options):
    with Client(address, authkey=key, **options) as client:
        client.send(1729)
        return client.recv()


def in_thread(call, *args, **options):
    results = []

    def run():
        try:
            results.append(call(*args, **options))
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.results = results
    return thread


@pytest.mark.parametrize("key", [None, b"", b"key", "text"])
@pytest.mark.parametrize("family", FAMILIES)
def test_families_and_keys(family, key, leak_check):
    with Listener(family=family, authkey=key) as listener:
        assert listener.last_accepted is None
        thread = in_thread(talk, listener.address, key)
        with listener.accept() as accepted:
            assert accepted.recv() == 1729
            accepted.send("welcome")
        thread.join()
        assert thread.results == ["welcome"]
        assert listener.last_accepted is not None
    with pytest.raises(OSError, match="listener is closed"):
        listener.accept()
    with pytest.raises(OSError):
        Client(listener.address)


def test_connect_before_accept_without_threads():
    for family in FAMILIES:
        with Listener(family=family) as listener, Client(listener.address) as client:
            with listener.accept() as accepted:
                accepted.send_bytes(b"hello")
                assert client.poll(5)


def test_the_old_spellings():
    for arguments, options in (
        ((None, None, 1, True), {}),
        ((None, None, 1, True, "key"), {}),
        ((), {"authenticate": True}),
        ((), {"authenticate": True, "authkey": b"key"}),
        ((None, None, 1, False), {}),
    ):
        with Listener(*arguments, **options) as listener:
            if arguments:
                call = in_thread(lambda: Client(listener.address, None, *arguments[3:]).send(1))
            else:
                call = in_thread(lambda: Client(listener.address, **options).send(1))
            with listener.accept() as accepted:
                assert accepted.recv() == 1
            call.join()
            assert call.results == [None]
    with Listener(authenticate=True) as listener:
        call = in_thread(talk, listener.address, bytes(runtime.authkey))
        with listener.accept() as accepted:
            accepted.send(accepted.recv())
        call.join()


def test_wrong_keys():
    with Listener(authkey=b"right") as listener:
        thread = in_thread(talk, listener.address, b"wrong")
        with pytest.raises(AuthenticationError):
            listener.accept()
        thread.join()
        assert isinstance(thread.results[0], AuthenticationError)
        thread = in_thread(talk, listener.address, b"right")
        with listener.accept() as accepted:
            accepted.send(accepted.recv())
        thread.join()
        assert thread.results == [1729]


@pytest.mark.parametrize(
    "call",
    [
        lambda: Listener(authkey=5),
        lambda: Listener(authkey="\u00e9"),
        lambda: Client("/nowhere", authkey=5),
        lambda: Listener(5),
        lambda: Listener(None, None, 1, True, b"k", 6),
    ],
)
def test_type_errors(call):
    with pytest.raises(TypeError):
        call()


@pytest.mark.parametrize("address, family", [(r"\\.\test", None), (None, "AF_PIPE"), (None, "AF_NONSENSE")])
def test_families_that_are_not_here(address, family):
    with pytest.raises(ValueError):
        Listener(address, family)


def test_addresses():
    assert address_type(("h", 1)) == "AF_INET"
    assert address_type(("::1", 1)) == address_type(("::1", 1, 0, 0)) == "AF_INET6"
    assert address_type("path") == address_type(b"path") == "AF_UNIX"
    assert address_type(r"\\.\pipe\x") == "AF_PIPE"
    assert arbitrary_address("AF_INET") == ("localhost", 0)
    assert arbitrary_address("AF_PIPE").startswith("\\\\.\\pipe\\")
    with pytest.raises(TypeError):
        address_type(5)
    with pytest.raises(ValueError):
        arbitrary_address("AF_NONSENSE")


@pytest.mark.parametrize("family", FAMILIES)
def test_an_address_is_bound_once(family):
    with Listener(family=family) as listener:
        with pytest.raises(OSError):
            Listener(listener.address, family)
        # The failed one has not taken the first one's path away.
        thread = in_thread(talk, listener.address, None)
        with listener.accept() as accepted:
            accepted.send(accepted.recv())
        thread.join()


def test_arbitrary_unix_sockets_are_private():
    with Listener(family="AF_UNIX") as listener:
        status = os.stat(listener.address)
        assert stat.S_IMODE(status.st_mode) == 0o600
        directory = os.stat(os.path.dirname(listener.address))
        assert stat.S_IMODE(directory.st_mode) == 0o700
    assert not os.path.exists(listener.address)


@pytest.mark.parametrize("length", [100, 150, 250])
def test_long_paths(tmp_path, length):
    directory = tmp_path
    while len(str(directory)) < length:
        directory = directory / ("d" * 40)
    directory.mkdir(parents=True, exist_ok=True)
    path = str(directory / "socket")
    with Listener(path, authkey=b"k") as listener:
        assert listener.address == path
        thread = in_thread(talk, path, b"k")
        with listener.accept() as accepted:
            accepted.send(accepted.recv())
        thread.join()
        assert thread.results == [1729]
    assert not os.path.exists(path)


def test_a_name_too_long_for_any_trick(tmp_path):
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        Listener(str(tmp_path / ("n" * 200)))


@pytest.mark.linux_only
def test_abstract_sockets():
    with Listener(f"\0procession-{os.getpid()}") as listener:
        thread = in_thread(talk, listener.address, None)
        with listener.accept() as accepted:
            accepted.send(accepted.recv())
        thread.join()


def raw(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    sock = socket.socket(family)
    sock.connect(address)
    return sock


def frame(data):
    return struct.pack("!i", len(data)) + data


def drain(sock):
    try:
        while sock.recv(1000):
            pass
    except ConnectionResetError:  # there was something that the listener has not read
        pass


@pytest.mark.parametrize("family", families)
def test_slow_and_silent_clients_hold_up_nobody(family, leak_check):
    leak_check.rebase()
    with Listener(family=family, authkey=b"k", backlog=64) as listener:
        idle = [raw(listener.address) for _ in range(20)]
        for number, sock in enumerate(idle):
            sock.send(frame(b"half a message")[: number % 12])
        for _ in range(3):
            thread = in_thread(talk, listener.address, b"k")
            with listener.accept() as accepted:
                accepted.send(accepted.recv())
            thread.join()
            assert thread.results == [1729]
        for sock in idle:
            sock.close()


def test_clients_that_never_answer_are_dropped():
    with Listener(authkey=b"k", backlog=8, handshake_timeout=0.2) as listener:
        idle = [raw(listener.address) for _ in range(3)]
        acceptor = in_thread(listener.accept)
        for sock in idle:
            sock.settimeout(10)
            while sock.recv(100):  # the challenge, then the end
                pass
        talk_thread = in_thread(talk, listener.address, b"k")
        acceptor.join()
        with acceptor.results[0] as accepted:
            accepted.send(accepted.recv())
        talk_thread.join()
        for sock in idle:
            sock.close()


def test_a_client_is_not_to_blame_for_an_absent_server():
    with Listener(authkey=b"k", backlog=8, handshake_timeout=0.3) as listener:
        slow = raw(listener.address)
        thread = in_thread(talk, listener.address, b"k")
        with listener.accept() as accepted:
            accepted.send(accepted.recv())
        thread.join()
        late = in_thread(talk, listener.address, b"k")
        time.sleep(0.5)
        with listener.accept() as accepted:
            accepted.send(accepted.recv())
        late.join()
        assert late.results == [1729]
        slow.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff\xff\xff\xff" + b"\xff" * 8,
        frame(b"x" * 300),
        b"\x7f\xff\xff\xff",
        b"GET / HTTP/1.0\r\n\r\n",
        b"",
    ],
)
def test_nonsense_in_the_handshake_only_drops_the_client(nonsense, leak_check):
    leak_check.rebase()
    with Listener(authkey=b"k", backlog=8) as listener:
        acceptor = in_thread(listener.accept)
        with raw(listener.address) as sock:
            sock.sendall(nonsense)
            sock.shutdown(socket.SHUT_WR)
            drain(sock)
        thread = in_thread(talk, listener.address, b"k")
        acceptor.join()
        with acceptor.results.pop() as accepted:
            accepted.send(accepted.recv())
        thread.join()
        assert thread.results == [1729]


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("repeats", [1, 3])
def test_nothing_is_unpickled_before_authentication(tmp_path, repeats):
    crater = str(tmp_path / "crater")
    with Listener(authkey=b"k", backlog=8) as listener:
        acceptor = in_thread(listener.accept)
        with raw(listener.address) as sock:
            sock.sendall(frame(pickle.dumps(Bomb(crater))) * repeats)
            drain(sock)
        thread = in_thread(talk, listener.address, b"k")
        acceptor.join()
        assert isinstance(acceptor.results[0], AuthenticationError)
        acceptor = in_thread(listener.accept)
        acceptor.join()
        with acceptor.results[0] as accepted:
            accepted.send(accepted.recv())
        thread.join()
    assert not os.path.exists(crater)


def test_who_goes_on_before_the_handshake_is_over_is_dropped():
    with Listener(authkey=b"k") as listener:
        thread = in_thread(listener.accept)
        with raw(listener.address) as sock:
            challenge = sock.recv(4 + 256)[4 + len(b"#CHALLENGE#") :]
            answer = create_response(b"k", challenge)
            welcome = frame(b"#WELCOME#")
            sock.sendall(
                frame(answer) + frame(b"#CHALLENGE#{sha256}" + bytes(40)) + welcome + frame(b"too early")
            )
            drain(sock)
        honest = in_thread(talk, listener.address, b"k")
        thread.join()
        with thread.results[0] as accepted:
            accepted.send(accepted.recv())
        honest.join()


def test_what_follows_the_handshake_at_once_belongs_to_the_connection():
    for _ in range(20):
        with Listener(authkey=b"k") as listener:

            def burst():
                with Client(listener.address, authkey=b"k") as client:
                    for number in range(50):
                        client.send(number)

            thread = in_thread(burst)
            with listener.accept() as accepted:
                assert [accepted.recv() for _ in range(50)] == list(range(50))
            thread.join()


def test_client_timeout():
    with Listener(authkey=b"k") as listener:
        with pytest.raises(TimeoutError):
            Client(listener.address, authkey=b"k", timeout=0.1)
        thread = in_thread(talk, listener.address, b"k", timeout=30)
        with listener.accept() as accepted:
            accepted.send(accepted.recv())
        thread.join()
        assert thread.results == [1729]


def test_nobody_listens():
    with pytest.raises(FileNotFoundError):
        Client("/nonexistent/socket")
    with Listener(family="AF_INET") as listener:
        address = listener.address
    with pytest.raises(ConnectionRefusedError):
        Client(address)


@pytest.mark.parametrize(
    ("call", "address", "advice"),
    [
        (Client, "/nonexistent/socket", "listener that is running"),
        (Client, ("127.0.0.1", 1), "listener that is running"),
        (Listener, "/nonexistent/socket", "that is free"),
        (Listener, ("127.0.0.1", 0), "that is free"),
    ],
)
def test_errors_name_the_address_and_what_to_do(call, address, advice):
    blocker = None
    if call is Listener and type(address) is tuple:
        blocker = Listener(("127.0.0.1", 0))
        address = blocker.address
    with pytest.raises(OSError) as caught:
        call(address)
    assert repr(address) in str(caught.value)
    assert advice in caught.value.__notes__[0]
    if blocker is not None:
        blocker.close()


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
def test_a_default_timeout_for_sockets_is_not_for_ours(family):
    """Not even where the listener takes longer than that."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.2)
    try:
        with Listener(family=family, authkey=b"k", backlog=8) as listener:
            thread = in_thread(talk, listener.address, b"k")
            time.sleep(0.5)
            with listener.accept() as accepted:
                time.sleep(0.5)
                accepted.send(accepted.recv())
            thread.join()
            assert thread.results == [1729]
    finally:
        socket.setdefaulttimeout(before)


def test_a_server_that_goes_away_during_the_handshake():
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = in_thread(Client, server.getsockname(), authkey=b"k")
        sock, _ = server.accept()
        sock.close()
        thread.join()
        assert isinstance(thread.results[0], (EOFError, ConnectionError))


CROWD = """
import sys, threading
from procession_connection import Client
address = eval(sys.argv[1])
failures = []
def one(i):
    try:
        with Client(address, authkey=b"k") as c:
            c.send(i)
            assert c.recv() == i
    except BaseException as e:
        failures.append(e)
threads = [threading.Thread(target=one, args=(i,)) for i in range(1000)]
for t in threads: t.start()
for t in threads: t.join()
assert not failures, failures[:3]
"""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
def test_a_thousand_clients_at_once(family, leak_check):
    with Listener(family=family, authkey=b"k", backlog=1024) as listener:
        leak_check.rebase()
        child = subprocess.Popen([sys.executable, "-c", CROWD, repr(listener.address)])
        seen = set()
        for _ in range(1000):
            with listener.accept() as accepted:
                number = accepted.recv()
                accepted.send(number)
                seen.add(number)
        assert child.wait(60) == 0
        assert seen == set(range(1000))


def test_several_threads_accept():
    with Listener(authkey=b"k", backlog=16) as listener:

        def serve():
            with listener.accept() as accepted:
                accepted.send(accepted.recv())

        servers = [in_thread(serve) for _ in range(4)]
        clients = [in_thread(talk, listener.address, b"k") for _ in range(4)]
        for thread in (*servers, *clients):
            thread.join()
        assert [thread.results for thread in clients] == [[1729]] * 4


def test_a_forked_child_may_accept_too():
    with Listener(authkey=b"k", backlog=8) as listener:
        half_open = raw(listener.address)
        thread = in_thread(talk, listener.address, b"k")
        with listener.accept() as accepted:
            accepted.send(accepted.recv())
        thread.join()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with listener.accept() as accepted:
                    accepted.send("child")
                    accepted.recv()
                listener.close()
                status = 0
            finally:
                os._exit(status)
        assert talk(listener.address, b"k") == "child"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert os.path.exists(listener.address), "a child has removed its parent's socket"
        half_open.close()
