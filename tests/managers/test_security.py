"""What a server refuses, and what a client may not do to the others."""

from __future__ import annotations

import os
import pickle
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import procession_core
from procession_connection import Client, allow
from procession_managers import BaseManager, RemoteError, SyncManager

from .waiting import until

children: Any = sys.modules["managers_children"]
KEY = b"a key"
NAMES = ("server", "client", "stranger")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")


class MyManager(SyncManager):
    pass


MyManager.register("Thing", children.Thing, exposed=("quick", "where"))


class Bomb:
    """Its pickle calls a function where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def ask(manager: BaseManager, message: bytes) -> Any:
    """Send bytes over an authenticated connection of their own and return the answer, None if there is none."""
    with Client(manager.address, authkey=KEY) as connection:
        try:
            connection.send_bytes(message)
            return pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return None


@pytest.fixture
def manager() -> Iterator[MyManager]:
    """A started manager whose key the tests know, with its limits."""
    with MyManager(authkey=KEY, max_message=100_000) as started:
        yield started


# ---- requests that are wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["block", "_inner", "__init__", "__reduce_ex__", "__getattribute__", "missing", ""]
)
def test_only_exposed_methods(manager: MyManager, name: str) -> None:
    thing = manager.Thing()
    with pytest.raises(RemoteError, match="exposed"):
        thing._callmethod(name, (1,))
    assert thing.quick() == 1


@pytest.mark.parametrize(
    "name", ["missing", "_serve", "serve_forever", "__init__", "drop_peer", 7, None, b"create"]
)
def test_only_known_functions(manager: MyManager, name: Any) -> None:
    items = manager.list([1])
    answer = ask(manager, pickle.dumps((None, name, (), {})))
    assert answer is None or answer[0] == "#TRACEBACK"
    assert items[0] == 1


@pytest.mark.parametrize("ident", ["0" * 16, "", "7f0000000000", 12345, b"x", ("a",), 1.5])
def test_forged_idents(manager: MyManager, ident: Any) -> None:
    items = manager.list([1])
    answer = ask(manager, pickle.dumps((ident, "append", (2,), {})))
    assert answer is None or answer[0] == "#TRACEBACK"
    for function in ("incref", "decref", "get_methods"):
        answer = ask(manager, pickle.dumps((None, function, (ident,), {})))
        assert answer is None or answer[0] == "#TRACEBACK"
    assert items._getvalue() == [1]


def test_a_token_of_another_server(manager: MyManager) -> None:
    items = manager.list([1])
    with MyManager(authkey=KEY) as other:
        theirs = other.list([2])
        ident = theirs._token.id
        assert ask(manager, pickle.dumps((ident, "append", (3,), {})))[0] == "#TRACEBACK"
        assert theirs._getvalue() == [2]
    assert items._getvalue() == [1]


def test_huge_messages(manager: MyManager) -> None:
    items = manager.list([1])
    for message in (b"x" * 200_000, pickle.dumps((None, "create", ("list", [b"x" * 5_000_000]), {}))):
        answer = ask(manager, message)
        assert (
            answer[0] == "#TRACEBACK"
            and f"message of {len(message)} bytes; max_message allows 100000" in answer[1]
        )
    # Only announced, and too long to be skipped.
    with Client(manager.address, authkey=KEY) as connection:
        os.write(connection.fileno(), b"\xff\xff\xff\xff" + (1 << 50).to_bytes(8, "big") + b"x")
        with pytest.raises((EOFError, OSError)):
            connection.recv_bytes()
    # A note has no answer that could tell.
    with Client(manager.address, authkey=KEY) as connection:
        os.write(connection.fileno(), (1 << 25).to_bytes(4, "big") + b"#D")
        with pytest.raises((EOFError, OSError)):
            connection.recv_bytes()
    items.append(2)
    assert items._getvalue() == [1, 2]


def test_huge_messages_through_a_lane(manager: MyManager) -> None:
    items = manager.list()
    for number in range(20):
        items.append(number)
    with pytest.raises(RemoteError, match="max_message allows 100000"):
        items.append(b"x" * 200_000)
    assert len(items) == 20


def test_nothing_is_unpickled_before_the_handshake(manager: MyManager, tmp_path: Path) -> None:
    import socket

    bomb = pickle.dumps((None, "dummy", (Bomb(tmp_path / "hit"),), {}))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(manager.address)
        sock.sendall(len(bomb).to_bytes(4, "big") + bomb)
        sock.settimeout(20)
        while True:
            try:
                if not sock.recv(1000):
                    break
            except OSError:
                break
    with pytest.raises(procession_core.AuthenticationError):
        Client(manager.address, authkey=b"wrong")
    assert list(manager.list([1])) == [1]
    assert not (tmp_path / "hit").exists()


# ---- restricted unpickling -------------------------------------------------------------------------------------


def test_unpickler_restricts_requests(tmp_path: Path) -> None:
    with MyManager(authkey=KEY, unpickler=allow("datetime.date", "builtins.KeyError")) as manager:
        from datetime import date, timedelta

        d = manager.dict()
        d["day"] = date(2020, 1, 2)
        assert d["day"] == date(2020, 1, 2)
        with pytest.raises(KeyError):
            d["none"]
        with pytest.raises(RemoteError, match="not allowed"):
            d["span"] = timedelta(1)
        with pytest.raises(RemoteError, match="not allowed"):
            d["bomb"] = Bomb(tmp_path / "one")
        for number in range(20):
            d[number] = number
        with pytest.raises(RemoteError, match="not allowed"):
            d["bomb"] = Bomb(tmp_path / "two")
        assert ask(manager, pickle.dumps((None, "dummy", (Bomb(tmp_path / "three"),), {})))[0] == "#TRACEBACK"
        assert d["day"] == date(2020, 1, 2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("note", [b"#H", b"#D"])
def test_unpickler_restricts_notes(tmp_path: Path, note: bytes) -> None:
    with MyManager(authkey=KEY, unpickler=allow("datetime.date")) as manager:
        assert manager.list([1])[0] == 1
        ask(manager, note + pickle.dumps(Bomb(tmp_path / "hit")))
        assert manager.list([1])[0] == 1
    assert not list(tmp_path.iterdir())


# ---- limits ------------------------------------------------------------------------------------------------


def test_max_clients() -> None:
    with MyManager(authkey=KEY, max_clients=3) as manager:
        items = manager.list([1])
        assert items[0] == 1
        others = [Client(manager.address, authkey=KEY) for _ in range(2)]
        with pytest.raises((EOFError, OSError)):
            with Client(manager.address, authkey=KEY) as refused:
                refused.send((None, "dummy", (), {}))
                refused.recv()
        assert items[0] == 1
        refusals: list[str] = []

        def use() -> None:  # another thread has a connection of its own
            try:
                items[0]
            except procession_core.ServerDiedError as error:
                refusals.append(str(error))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join(20)
        assert "still listens" in refusals[0] and "max_clients" in refusals[0]
        for other in others:
            other.close()

        def room() -> bool:
            try:
                with Client(manager.address, authkey=KEY) as connection:
                    connection.send((None, "dummy", (), {}))
                    return bool(connection.recv() == ("#RETURN", None))
            except (EOFError, OSError):
                return False

        until(room)
        assert items[0] == 1


# ---- TLS -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a certificate for each of NAMES."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in NAMES:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    return folder


def server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "client.pem")
    return context


def client_context(folder: Path, name: str = "client") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "server.pem"))
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


@pytest.fixture
def secure(certificates: Path) -> Iterator[MyManager]:
    """A manager on loopback TCP that demands certificates."""
    with MyManager(
        ("127.0.0.1", 0),
        KEY,
        ssl=lambda: server_context(certificates),
        client_ssl=lambda: client_context(certificates),
        max_message=50_000_000,
    ) as manager:
        yield manager


@needs_openssl
def test_mutual_tls(secure: MyManager, certificates: Path) -> None:
    items = secure.list([1])
    for size in (0, 100, 16_000, 17_000, 1_000_000):
        items[0] = b"x" * size
        assert items[0] == b"x" * size
    thing = secure.Thing(1)
    assert thing.quick() == 2
    queue = secure.Queue()
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for number in range(5):
        queue.put(number)
    for thread in threads:
        thread.join(20)
    assert sorted(got) == list(range(5))
    with pytest.raises(OSError):
        MyManager(secure.address, KEY, client_ssl=client_context(certificates, "stranger")).connect()
    with pytest.raises(procession_core.AuthenticationError):
        MyManager(secure.address, b"wrong", client_ssl=client_context(certificates)).connect()
    again = MyManager(secure.address, KEY, client_ssl=client_context(certificates))
    again.connect()
    assert again.list([3])[0] == 3
    assert len(items) == 1


@needs_openssl
def test_plain_clients_of_a_tls_server(secure: MyManager) -> None:
    import socket

    for data in (b"GET / HTTP/1.0\r\n\r\n", os.urandom(500), b"\x16\x03\x01\xff\xff"):
        with socket.create_connection(secure.address) as sock:
            sock.sendall(data)
    assert list(secure.list([1])) == [1]


@needs_openssl
def test_a_tls_client_that_does_not_read_holds_nobody_up(secure: MyManager, certificates: Path) -> None:
    items = secure.list([b"x" * 20_000_000])
    ident = items._token.id
    # More than the buffers of the sockets take, from a client that reads nothing until the others are through.
    with Client(secure.address, authkey=KEY, ssl=client_context(certificates)) as lazy:
        lazy.send((None, "accept_connection", ("lazy",), {}))
        assert lazy.recv()[0] == "#RETURN"
        lazy.send((ident, "__getitem__", (0,), {}))
        lazy.send((ident, "__len__", (), {}))
        other = secure.dict()
        for number in range(200):
            other[number] = number
        assert len(other) == 200
        kind, value = lazy.recv()
        assert kind == "#RETURN" and value == b"x" * 20_000_000
        assert lazy.recv() == ("#RETURN", 1)


# ---- the end of a server -------------------------------------------------------------------------------------


def test_serve_forever_ends_the_script() -> None:
    code = (
        "import threading, procession_managers as m\n"
        "manager = m.BaseManager(('127.0.0.1', 0), b'k'); server = manager.get_server()\n"
        "def stop():\n"
        "    client = m.BaseManager(server.address, b'k'); client.connect()\n"
        "    client._link_to(server.address).request('shutdown')\n"
        "threading.Thread(target=stop).start()\n"
        "try:\n"
        "    server.serve_forever()\n"
        "except SystemExit as error:\n"
        "    print('status', error.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "status 0\n", done.stderr


def test_a_manager_that_nobody_used_ends_at_once() -> None:
    manager = MyManager(shutdown_timeout=60.0)
    manager.start()
    process = manager._process
    manager.shutdown()
    assert process.exitcode == 0
    with pytest.raises(procession_core.ProcessError, match="shut down"):
        manager.__enter__()
