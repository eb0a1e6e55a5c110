"""Big buffers between a Listener and a Client that both run this library."""

from __future__ import annotations

import asyncio
import pickle
import threading

import pytest

from procession_connection import Client, Listener, allow
from procession_connection._buffers import MAGIC, head, in_band, parse

ARRAY = bytearray(range(256)) * 1000


@pytest.fixture(params=["AF_UNIX", "AF_INET"])
def marked(request):
    found = []
    with Listener(family=request.param, authkey=b"key") as listener:
        thread = threading.Thread(target=lambda: found.append(Client(listener.address, authkey=b"key")))
        thread.start()
        accepted = listener.accept()
        thread.join()
    yield found[0], accepted
    found[0].close()
    accepted.close()


def sending(connection, obj):
    thread = threading.Thread(target=connection.send, args=(obj,))
    thread.start()
    return thread


def message():
    return [
        1,
        pickle.PickleBuffer(ARRAY),
        "between",
        pickle.PickleBuffer(bytes(ARRAY)),
        pickle.PickleBuffer(b"small"),
    ]


def check(got):
    assert [bytes(part) if isinstance(part, (bytearray, memoryview, bytes)) else part for part in got] == [
        1, ARRAY, "between", ARRAY, b"small",
    ]  # fmt: skip


def test_they_follow_the_frame(marked):
    client, server = marked
    for _ in range(3):
        thread = sending(client, message())
        got = server.recv()
        thread.join()
        check(got)
        assert not memoryview(got[1]).readonly and memoryview(got[3]).readonly
    client.send("next")
    assert server.recv() == "next"


def test_raw_bytes_are_one_ordinary_pickle(marked):
    client, server = marked
    thread = sending(client, message())
    data = server.recv_bytes()
    thread.join()
    check(pickle.loads(data))
    thread = sending(client, message())
    room = bytearray(1_000_000)
    size = server.recv_bytes_into(room)
    thread.join()
    check(pickle.loads(room[:size]))


def test_without_blocking_a_loop(marked):
    client, server = marked
    thread = sending(client, message())
    check(asyncio.run(server.async_recv()))
    thread.join()


def test_in_other_pickles_too():
    array = pytest.importorskip("numpy").arange(100_000)
    obj = {"a": array, "same": array, "nested": [array[::2].copy(), b"x" * 100_000]}
    buffers = []
    data = pickle.dumps(obj, 5, buffer_callback=buffers.append)
    first, views = head(data, buffers)
    assert first.startswith(MAGIC)
    rest, entries = parse(first)
    assert rest == data and [size for size, _ in entries] == [view.nbytes for view in views]
    got = pickle.loads(in_band(rest, views))
    assert (got["a"] == array).all() and got["same"] is got["a"]
    assert (got["nested"][0] == array[::2]).all()


def test_tables_that_are_cut_short():
    for data in (MAGIC, MAGIC + b"\0\0", MAGIC + b"\0\0\0\x05", MAGIC + b"\xff" * 30):
        with pytest.raises(OSError, match="table of buffers"):
            parse(data)


def test_restricted_connections_too():
    found = []
    with Listener(authkey=b"key", unpickler=allow("datetime.date")) as listener:
        thread = threading.Thread(target=lambda: found.append(Client(listener.address, authkey=b"key")))
        thread.start()
        accepted = listener.accept()
        thread.join()
    thread = sending(found[0], message())
    check(accepted.recv())
    thread.join()
    found[0].close()
    accepted.close()
