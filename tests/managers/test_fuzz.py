"""The server's port under fire, before and after authentication: everything wrong is refused, logged, and survived.

The generators have fixed seeds: a failure is seen again.
"""

from __future__ import annotations

import logging
import os
import pickle
import random
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import procession_core
from procession_connection import Client, allow
from procession_managers import SyncManager

KEY = b"a key"
SEEDS = range(4)


class Records(logging.Handler):
    """Keeps the texts of what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What the library logs in this process."""
    logger = procession_core.get_logger()
    before, records = logger.level, Records()
    logger.addHandler(records)
    logger.setLevel(logging.INFO)
    yield records.texts
    logger.removeHandler(records)
    logger.setLevel(before)


@pytest.fixture(params=["unix", "tcp"])
def manager(request: pytest.FixtureRequest, log: list[str]) -> Iterator[SyncManager]:
    """A client of a server in a thread of this process, whose log the test sees."""
    address = None if request.param == "unix" else ("127.0.0.1", 0)
    server = SyncManager(address, KEY, max_message=1 << 20).get_server()

    def serve() -> None:
        with pytest.raises(SystemExit):
            server.serve_forever()

    thread = threading.Thread(target=serve)
    thread.start()
    client = SyncManager(server.address, KEY)
    client.connect()
    yield client
    client._link_to(server.address).request("shutdown")
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def started() -> Iterator[SyncManager]:
    """A manager with a process of its own, which unpickles nothing but plain values."""
    with SyncManager(authkey=KEY, max_message=1 << 20, unpickler=allow("builtins.KeyError")) as manager:
        yield manager


def raw(address: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX if isinstance(address, str | bytes) else socket.AF_INET)
    sock.connect(address)
    sock.settimeout(20)
    return sock


def read_frame(sock: socket.socket) -> bytes:
    head = b""
    while len(head) < 4:
        part = sock.recv(4 - len(head))
        if not part:
            raise EOFError
        head += part
    (size,) = struct.unpack("!i", head)
    body = b""
    while len(body) < size:
        part = sock.recv(size - len(body))
        if not part:
            raise EOFError
        body += part
    return body


def frame(data: bytes) -> bytes:
    return struct.pack("!i", len(data)) + data


def exchange(connection: Any, message: bytes) -> Any:
    """Send a message and return the answer's kind, None if the connection ends instead."""
    try:
        connection.send_bytes(message)
        return pickle.loads(connection.recv_bytes().removeprefix(b"##"))[0]
    except (EOFError, OSError):
        return None


# ---- before --------------------------------------------------------------------------------------------------


class Bomb:
    """Its pickle makes a directory where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("seed", SEEDS)
def test_before_authentication(manager: SyncManager, log: list[str], tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    items = manager.list([1])
    bomb = pickle.dumps((None, "dummy", (Bomb(tmp_path / "hit"),), {}))
    refused = 0
    for _ in range(40):
        with raw(manager.address) as sock:
            kind = rng.randrange(6)
            try:
                if kind == 0:
                    sock.sendall(rng.randbytes(rng.randrange(1, 400)))
                elif kind == 1:
                    sock.sendall(frame(bomb) * rng.randrange(1, 4))
                elif kind == 2:
                    sock.sendall(
                        rng.choice([b"\xff\xff\xff\xff" + rng.randbytes(8), b"\x7f\xff\xff\xff", b"\x00\x00"])
                    )
                else:
                    challenge = read_frame(sock)
                    answer = bytearray(challenge)
                    answer[rng.randrange(len(answer))] ^= 1 << rng.randrange(8)
                    answers = {3: bytes(answer), 4: bomb, 5: b"#WELCOME#"}
                    sock.sendall(frame(answers[kind]))
                    refused += 1
                    assert read_frame(sock) == b"#FAILURE#"
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1000):
                    pass
            except (EOFError, OSError):
                pass
    items.append(2)
    assert items._getvalue() == [1, 2]
    assert not (tmp_path / "hit").exists()
    assert refused and sum("refuses a client" in text for text in log) >= refused


# ---- after ---------------------------------------------------------------------------------------------------


def any_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(10 if depth < 3 else 7)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, -1, 1 << 70, rng.randrange(1000)])
    if kind == 2:
        return rng.choice([0.0, float("nan"), -1.5])
    if kind in (3, 4):
        return rng.choice(
            ["", "append", "__getitem__", "create", "lane", "list", "é" * 100, "#BATCH", "__class__"]
        )
    if kind == 5:
        return rng.randbytes(rng.randrange(40))
    if kind == 6:
        return object
    values = [any_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return values
    if kind == 8:
        return tuple(values)
    return {str(number): value for number, value in enumerate(values)}


FUNCTIONS = (
    "create",
    "incref",
    "decref",
    "get_methods",
    "accept_connection",
    "transit",
    "restrict",
    "nest",
    "lane",
    "#BATCH",
)
METHODS = (
    "append",
    "__getitem__",
    "__class__",
    "_x",
    "",
    "__reduce_ex__",
    "sort",
    "#GETVALUE",
    "#UPDATE",
    "__init__",
)


@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_requests(manager: SyncManager, log: list[str], seed: int) -> None:
    rng = random.Random(seed)
    items, kept = manager.list([1]), manager.dict(a=1)
    ident = kept._token.id
    connection, refused = Client(manager.address, authkey=KEY), 0
    for _ in range(400):
        case = rng.randrange(5)
        request: Any
        if case == 0:
            request = any_value(rng)
        elif case == 1:
            request = (None, rng.choice(FUNCTIONS), any_value(rng), any_value(rng))
        elif case == 2:
            request = (
                None,
                rng.choice(FUNCTIONS),
                tuple(any_value(rng) for _ in range(rng.randrange(4))),
                {},
            )
        elif case == 3:
            request = (
                items._token.id,
                rng.choice(METHODS),
                tuple(any_value(rng) for _ in range(rng.randrange(3))),
                {},
            )
        else:
            request = (rng.choice([ident[:-1] + "x", ident.upper() + "0", any_value(rng)]), "clear", (), {})
        got = exchange(connection, pickle.dumps(request))
        if got == "#TRACEBACK":
            refused += 1
        elif got is None:
            connection.close()
            connection = Client(manager.address, authkey=KEY)
    connection.close()
    assert kept.copy() == {"a": 1}
    assert len(manager.list([1, 2])) == 2
    assert refused > 100
    assert sum("refuses a request of" in text for text in log) >= refused


@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_notes(manager: SyncManager, log: list[str], seed: int) -> None:
    rng = random.Random(seed)
    kept = manager.dict(a=1)
    for _ in range(60):
        with Client(manager.address, authkey=KEY) as connection:
            body = rng.choice([rng.randbytes(rng.randrange(30)), pickle.dumps(any_value(rng)), b""])
            note = b"#" + rng.choice([b"H", b"D", b"T", b"C", b"N", b"?", b""]) + body
            connection.send_bytes(note)
            # A note has no answer, so what comes is that of the request behind it, or the end.
            assert exchange(connection, pickle.dumps((None, "dummy", (), {}))) in ("#RETURN", None)
    assert kept.copy() == {"a": 1}
    assert any("wrong note" in text for text in log)


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_pickles(started: SyncManager, seed: int) -> None:
    rng = random.Random(seed)
    items, kept = started.list([1]), started.dict(a=1)
    good = [
        pickle.dumps((None, "create", ("list", [1, 2]), {}), 4),
        pickle.dumps((items._token.id, "append", ({"x": [1.5, None, b"y"]},), {}), 4),
        pickle.dumps((None, "get_methods", (items._token,), {}), 4),
    ]
    connection = Client(started.address, authkey=KEY)
    for _ in range(500):
        data = bytearray(rng.choice(good))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            what = rng.randrange(3)
            if what == 0:
                # No opcodes that ask for memory by a number, as r (memo) does.
                data[at] = rng.randrange(0x60)
            elif what == 1:
                del data[at:]
            else:
                data[at:at] = rng.randbytes(2)
            if not data:
                data = bytearray(b".")
        if exchange(connection, bytes(data)) is None:
            connection.close()
            connection = Client(started.address, authkey=KEY)
    connection.close()
    assert kept.copy() == {"a": 1}
    assert len(started.list([1, 2])) == 2


@pytest.mark.native_only
def test_hostile_lanes(started: SyncManager) -> None:
    from procession_shm import native

    items = started.list([1])
    handles = [
        native.Lock().handle(),
        native.Queue(0, 0).handle(),
        (1, 2, 3, 4),
        (0, 0, 0, 0),
        "queue",
        (),
        None,
        native.Queue(0, 0).handle()[:3] + (99,),
    ]
    lock, small = native.Lock(), native.Queue(1, 0)
    handles.append(lock.handle())
    for handle in handles:
        with Client(started.address, authkey=KEY) as connection:
            assert exchange(connection, pickle.dumps((None, "lane", (handle,), {}))) in (
                "#TRACEBACK",
                "#RETURN",
                None,
            )
    # A queue with room for one answer, which nobody reads; and nonsense in the queue of all requests.
    with Client(started.address, authkey=KEY) as connection:
        connection.send_bytes(pickle.dumps((None, "lane", (small.handle(),), {})))
        handle, key = pickle.loads(connection.recv_bytes())[1]
        requests = native.open_handle(handle)
        for number in range(3):
            requests.put(pickle.dumps((None, "dummy", (), {})) + key)
        for nonsense in (7, None, "text", b"", b"x", b"x" * 8, os.urandom(100), 1.5):
            requests.put(nonsense)
        assert connection.poll(20)
        with pytest.raises((EOFError, OSError)):
            connection.recv_bytes()
    for number in range(20):
        items.append(number)
    assert len(items) == 21
