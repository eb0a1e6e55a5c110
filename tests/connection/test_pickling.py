"""Connections, listeners and sockets in messages; descriptors; the sharing thread."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import threading
import time

import pytest

from procession_connection import (
    Client,
    DupFd,
    Listener,
    Pipe,
    allow,
    recv_handle,
    send_handle,
    stop_sharing,
    token_for,
)
from procession_core import PeerDiedError, default_reducer, runtime, transfer_scope


def marked_unix():
    found = []
    with Listener(family="AF_UNIX", authkey=b"key") as listener:
        thread = threading.Thread(target=lambda: found.append(Client(listener.address, authkey=b"key")))
        thread.start()
        accepted = listener.accept()
        thread.join()
    return found[0], accepted


def one_way():
    reader, writer = Pipe(duplex=False)
    return writer, reader


@pytest.fixture(params=[Pipe, marked_unix, one_way])
def carrier(request, leak_check):
    leak_check.allow(threads=1)
    stop_sharing()
    leak_check.rebase()
    writer, reader = request.param()
    yield writer, reader
    writer.close()
    reader.close()
    stop_sharing()


def test_connections_in_messages(carrier):
    sender, receiver = carrier
    reader, writer = Pipe(duplex=False)
    sender.send({"ends": [reader, writer]})
    reader.close()
    writer.close()
    got_reader, got_writer = receiver.recv()["ends"]
    assert (got_reader.readable, got_reader.writable) == (True, False)
    assert (got_writer.readable, got_writer.writable) == (False, True)
    got_writer.send("hello")
    assert got_reader.recv() == "hello"
    got_reader.close()
    got_writer.close()


def test_sockets_in_messages(carrier):
    sender, receiver = carrier
    one, two = socket.socketpair()
    sender.send(one)
    one.close()
    got = receiver.recv()
    got.sendall(b"hello")
    assert two.recv(10) == b"hello"
    got.close()
    two.close()


def test_listeners_in_messages(carrier):
    sender, receiver = carrier
    with Listener(authkey=None) as listener:
        sender.send(listener)
        copy = receiver.recv()
        with Client(copy.address) as client, copy.accept() as accepted:
            client.send(1)
            assert accepted.recv() == 1
        copy.close()
        assert os.path.exists(listener.address)


def test_many_descriptors_and_a_large_message(carrier):
    sender, receiver = carrier
    pairs = [socket.socketpair() for _ in range(50)]
    thread = threading.Thread(target=sender.send, args=([pairs, b"x" * 500_000],))
    thread.start()
    got, data = receiver.recv()
    thread.join()
    assert len(data) == 500_000
    got[49][0].send(b"x")
    assert pairs[49][1].recv(1) == b"x"
    for one, two in (*pairs, *got):
        one.close()
        two.close()


def test_too_many_descriptors():
    a, b = Pipe()
    one, two = socket.socketpair()
    with pytest.raises(ValueError, match="at most 253"):
        a.send([socket.socket(fileno=os.dup(one.fileno())) for _ in range(254)])
    assert not b.poll()
    for closing in (a, b, one, two):
        closing.close()


def test_unclaimed_descriptors_are_closed(leak_check):
    leak_check.rebase()
    a, b = Pipe()
    reader, writer = Pipe(duplex=False)
    for _ in range(10):
        a.send(writer)
        b.recv_bytes()
        a.send([writer, "x"])
        b.recv()[0].close()
    writer.close()
    with pytest.raises(EOFError):
        reader.recv()
    for closing in (a, b, reader):
        closing.close()


def test_a_descriptor_that_did_not_come_along():
    a, b = Pipe()
    reader, writer = Pipe(duplex=False)
    a.send(writer)
    data = b.recv_bytes()
    with pytest.raises(PeerDiedError, match="did not come with it"):
        pickle.loads(data)
    for closing in (a, b, reader, writer):
        closing.close()


def test_closed_connections_cannot_be_sent():
    a, b = Pipe()
    reader, writer = Pipe()
    writer.close()
    with pytest.raises(OSError, match="handle is closed"):
        a.send(writer)
    for closing in (a, b, reader):
        closing.close()


def test_a_listener_with_its_own_key_stays_in_the_tree():
    with Listener(authkey=b"own") as listener:
        with pytest.raises(TypeError, match="process tree"):
            default_reducer.dumps(listener)
        a, b = Pipe()
        a.send(listener)
        copy = b.recv()
        assert copy._key == b"own"
        for closing in (a, b, copy):
            closing.close()


def test_the_restriction_goes_with_the_connection():
    with Listener() as listener:
        client = Client(listener.address, unpickler=allow("collections.OrderedDict"))
        accepted = listener.accept()
    a, b = Pipe()
    a.send(client)
    copy = b.recv()
    accepted.send(subprocess.Popen)
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        copy.recv()
    for closing in (a, b, client, copy, accepted):
        closing.close()


def test_handles():
    a, b = Pipe()
    reading, writing = os.pipe()
    # In a thread: CPython 3.14 and later wait for the receiver.
    sending = threading.Thread(target=send_handle, args=(a, writing, None))
    sending.start()
    got = recv_handle(b)
    sending.join()
    os.write(got, b"x")
    assert os.read(reading, 1) == b"x"
    assert not os.get_inheritable(got)
    os.write(a.fileno(), b"\0")
    with pytest.raises(RuntimeError):
        recv_handle(b)
    for end in (a, b):
        end.close()
    a, b = Pipe()
    a.close()
    with pytest.raises(EOFError):
        recv_handle(b)
    b.close()
    for fd in (reading, writing, got):
        os.close(fd)


def test_tokens_follow_the_innermost_transfer():
    class Spawn:
        spawning = True

        def hold(self, shared):
            raise AssertionError

        def send_fd(self, fd):
            return ("token", fd)

    with transfer_scope(Spawn()):
        assert token_for(5) == ("token", 5)


def test_a_shared_descriptor_is_fetched_once():
    reading, writing = os.pipe()
    token = pickle.loads(pickle.dumps(DupFd(writing)))
    os.close(writing)
    fd = token.detach()
    os.write(fd, b"x")
    assert os.read(reading, 1) == b"x"
    os.close(fd)
    os.close(reading)
    with pytest.raises(PeerDiedError, match="fetched before"):
        token.detach()
    stop_sharing()
    with pytest.raises(PeerDiedError, match="gone"):
        token.detach()


@pytest.mark.linux_only
def test_sharing_ends_although_the_program_has_set_another_key():
    def threads():
        return set(os.listdir("/proc/self/task"))

    stop_sharing()
    before = runtime.authkey
    held = threads()
    reading, writing = os.pipe()
    serving = set()
    try:
        for _ in range(10):
            runtime.authkey = b"first"
            token = DupFd(writing)
            serving |= threads() - held
            os.close(token.detach())  # the thread has been through its loop, and waits
            runtime.authkey = b"second"
            stop_sharing()
        deadline = time.monotonic() + 10
        while serving & threads() and time.monotonic() < deadline:
            time.sleep(0.001)  # between its last instruction and its end
        assert serving and not serving & threads()
    finally:
        runtime.authkey = before
        os.close(reading)
        os.close(writing)


GONE = """
import os, sys
from procession_connection import Pipe
from procession_core import default_reducer, runtime
runtime.authkey = b"tree"
r, w = Pipe(duplex=False)
sys.stdout.buffer.write(default_reducer.dumps(w))
sys.stdout.flush()
os._exit(0)
"""


def test_the_sender_is_gone_before_the_receiver_asks():
    data = subprocess.run([sys.executable, "-c", GONE], stdout=subprocess.PIPE, check=True).stdout
    with pytest.raises(PeerDiedError):
        default_reducer.loads(data)


def test_forked_children_share_on_their_own(leak_check):
    reading, writing = os.pipe()
    DupFd(writing)
    leak_check.allow(descriptors=4, threads=1)
    a, b = Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with open("/dev/null", "rb") as null:
                b.send(DupFd(null.fileno()))
                a.recv()
                status = 0
        finally:
            stop_sharing()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    a.close()
    b.close()
    os.close(reading)
    os.close(writing)
    stop_sharing()
