"""Small plain values are pickled without a pickler."""

from __future__ import annotations

import pickle
import struct

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from procession_connection import Client, Connection, Listener, Pipe

from .damage import asks_for_much_memory

atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from(
        [0, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63, -(2**63)]
    ),
    st.floats(),
    st.text(max_size=300),
    st.binary(max_size=300),
)
values = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.lists(inner, max_size=5).map(tuple),
        st.dictionaries(atoms, inner, max_size=4),
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def ends():
    with Listener() as listener, Client(listener.address) as client, listener.accept() as accepted:
        yield client, accepted


@settings(max_examples=500, deadline=None)
@given(values)
def test_they_come_back_equal_and_of_the_same_types(ends, value):
    client, accepted = ends
    client.send(value)
    assert repr(accepted.recv()) == repr(value)
    client.send(value)
    assert repr(pickle.loads(accepted.recv_bytes())) == repr(value)


@pytest.mark.parametrize("size", [0, 255, 256, 4000, 4080, 4096, 5000, 20_000])
@pytest.mark.parametrize(
    "make", [lambda n: "x" * n, lambda n: b"x" * n, lambda n: list(range(n)), lambda n: (1,) * n]
)
def test_around_the_largest(ends, make, size):
    client, accepted = ends
    client.send(make(size))
    assert accepted.recv() == make(size)


def test_who_was_one_object_stays_one(ends):
    client, accepted = ends
    shared = [1]
    client.send([shared, shared, {"again": shared}])
    first, second, third = accepted.recv()
    assert first is second is third["again"]
    endless = []
    endless.append(endless)
    client.send(endless)
    received = accepted.recv()
    assert received[0] is received


class Subclass(int):
    def __reduce__(self):
        return str, ("reduced",)


def test_subclasses_are_pickled_in_their_own_way(ends):
    client, accepted = ends
    client.send((1, Subclass(2)))
    assert accepted.recv() == (1, "reduced")


@pytest.mark.parametrize("value", ["\ud800", (1, "\udfff"), {"\ud800": 1}])
def test_lone_surrogates(ends, value):
    client, accepted = ends
    client.send(value)
    assert accepted.recv() == value


def test_deep_tuples(ends):
    client, accepted = ends
    value = ()
    for _ in range(50):
        value = (value,)
    client.send(value)
    assert accepted.recv() == value


def test_special_floats(ends):
    client, accepted = ends
    for value in (float("inf"), float("-inf"), -0.0, 5e-324, float("nan")):
        client.send(value)
        assert struct.pack("d", accepted.recv()) == struct.pack("d", value)


def test_on_a_connection_of_its_own(tmp_path):
    import socket

    first, second = socket.socketpair()
    with Connection(first.detach()) as one, Connection(second.detach()) as other:
        one.send(("key", 1, 2.5))
        assert other.poll(5)
        assert other.recv() == ("key", 1, 2.5)


@pytest.fixture(scope="module")
def pipe_ends():
    first, second = Pipe()
    yield first, second
    first.close()
    second.close()


def loaded(load, *args):
    try:
        return repr(load(*args))
    except Exception as error:
        return type(error)


@settings(max_examples=500, deadline=None)
@given(values, st.integers(0, 5))
def test_pickles_of_an_ordinary_pickler_are_read_alike(ends, pipe_ends, value, protocol):
    for sender, receiver in (ends, pipe_ends):
        sender.send_bytes(pickle.dumps(value, protocol))
        assert repr(receiver.recv()) == repr(value)


@settings(max_examples=1500, deadline=None)
@given(values, st.data())
def test_damaged_pickles_are_read_alike(pipe_ends, value, data):
    first, second = pipe_ends
    damaged = bytearray(pickle.dumps(value, 4))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(2, len(damaged) - 1))] = data.draw(
            st.one_of(
                st.sampled_from(list(b"N\x88\x89KMJ\x8aG\x8cXCB()\x85\x86\x87t]ae}su.\x94\x950")),
                st.integers(0, 255),
            )
        )
    assume(not asks_for_much_memory(bytes(damaged)))
    first.send_bytes(damaged)
    assert loaded(second.recv) == loaded(pickle.loads, bytes(damaged))


@pytest.mark.parametrize(
    "text",
    [
        *[
            b".",
            b"].",
            b"(.",
            b"e.",
            b"](e.",
            b"](K\x01e.",
            b"}(K\x01e.",
            b"}(K\x01u.",
            b"}]K\x01s.",
            b"(]t.",
        ],
        *[b"K\x01K\x02.", b"]K\x01K\x02u.", b"](\x85.", b"]\x94(]\x94e.", b"\x94.", b"K", b"", b"C\x05ab."],
        *[b"\x8a\x01\xff.", b"\x8a\x00.", b"\x8a\x09" + b"\x01" * 9 + b".", b"\x8c\x02\xc3\x28."],
        *[b"\x8c\x03\xed\xa0\x80.", b"(" * 20 + b"N.", b"N" * 200 + b"."],
    ],
)
def test_odd_pickles(pipe_ends, text):
    first, second = pipe_ends
    data = b"\x80\x04" + text
    first.send_bytes(data)
    assert loaded(second.recv) == loaded(pickle.loads, data)
