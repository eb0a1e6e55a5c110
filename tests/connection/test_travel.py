"""Connections that travel: as arguments of processes, in queues, to pools, under every start method."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from procession_connection import Client, Listener, Pipe, wait

procession = pytest.importorskip("procession")


@pytest.fixture
def context(start_method):
    return procession.get_context(start_method)


def echo(connection):
    with connection:
        for message in iter(connection.recv, None):
            connection.send((os.getpid(), message))


def echo_what_comes(carrier):
    """Serve the connection that comes over another one."""
    echo(carrier.recv())


def echo_from(queue):
    echo(queue.get())


def answer_once(connection):
    with connection:
        connection.send((os.getpid(), connection.recv()))
    return os.getpid()


def take_one(listener):
    with listener, listener.accept() as accepted:
        accepted.send(accepted.recv() * 2)


def use_socket(sock):
    with sock:
        sock.sendall(sock.recv(100).upper())


def talk(connection, process):
    for message in ("a", list(range(1000)), b"x" * 200_000):
        connection.send(message)
        assert connection.recv() == (process.pid, message)
    connection.send(None)
    process.join(30)
    assert process.exitcode == 0
    with pytest.raises(EOFError):
        connection.recv()


def test_as_argument(context):
    ours, theirs = context.Pipe()
    process = context.Process(target=echo, args=(theirs,))
    process.start()
    theirs.close()
    with ours:
        talk(ours, process)


def test_one_way_as_argument(context):
    reader, writer = context.Pipe(duplex=False)
    back_reader, back_writer = context.Pipe(duplex=False)
    process = context.Process(target=pass_on, args=(reader, back_writer))
    process.start()
    reader.close()
    back_writer.close()
    with writer, back_reader:
        writer.send("there")
        assert back_reader.recv() == "there and back"
        with pytest.raises(EOFError):
            back_reader.recv()
    process.join(30)
    assert process.exitcode == 0


def pass_on(reader, writer):
    assert reader.readable and not reader.writable
    writer.send(reader.recv() + " and back")


@pytest.mark.parametrize("duplex", [True, False])
def test_over_a_pipe(context, duplex):
    receiver, sender = context.Pipe(duplex)
    ours, theirs = context.Pipe()
    process = context.Process(target=echo_what_comes, args=(receiver,))
    process.start()
    receiver.close()
    with sender, ours:
        sender.send(theirs)
        ours.send("first")
        assert ours.recv() == (process.pid, "first")  # it has its own now
        theirs.close()
        talk(ours, process)


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue"])
def test_through_a_queue(context, kind):
    queue = getattr(context, kind)()
    ours, theirs = context.Pipe()
    process = context.Process(target=echo_from, args=(queue,))
    process.start()
    with ours:
        queue.put(theirs)
        ours.send("first")
        assert ours.recv() == (process.pid, "first")
        theirs.close()
        talk(ours, process)


def test_through_a_pool(context):
    with context.Pool(2) as pool:
        pairs = [context.Pipe() for _ in range(4)]
        results = [pool.apply_async(answer_once, (theirs,)) for _, theirs in pairs]
        waiting = {}
        for number, (ours, _) in enumerate(pairs):
            ours.send(number)
            waiting[ours] = number
        answers = {}
        while waiting:
            ready = wait(list(waiting), 30)
            assert ready, "no answer"
            for ours in ready:
                pid, number = ours.recv()
                assert number == waiting.pop(ours)
                answers[number] = pid
        assert [result.get(30) for result in results] == [answers[number] for number in range(4)]
        for ours, theirs in pairs:
            theirs.close()
            with pytest.raises(EOFError):
                ours.recv()
            ours.close()


@pytest.mark.parametrize("family", ["AF_UNIX", "AF_INET"])
def test_a_listener_as_argument(context, family):
    listener = Listener(family=family)
    process = context.Process(target=take_one, args=(listener,))
    process.start()
    with Client(listener.address) as client:
        client.send("ab")
        assert client.recv() == "abab"
    process.join(30)
    assert process.exitcode == 0
    listener.close()


def test_an_accepted_connection_as_argument(context):
    with Listener(authkey=b"k") as listener:
        launcher = context.Process(target=connect_and_talk, args=(listener.address,))
        launcher.start()
        accepted = listener.accept()
    server = context.Process(target=echo, args=(accepted,))
    server.start()
    accepted.close()
    for process in (launcher, server):
        process.join(30)
        assert process.exitcode == 0


def connect_and_talk(address):
    with Client(address, authkey=b"k") as client:
        client.send("hello")
        pid, message = client.recv()
        assert message == "hello" and pid != os.getpid()
        client.send(None)


def test_a_socket_as_argument(context):
    ours, theirs = socket.socketpair()
    process = context.Process(target=use_socket, args=(theirs,))
    process.start()
    theirs.close()
    with ours:
        ours.sendall(b"shout")
        assert ours.recv(100) == b"SHOUT"
        assert ours.recv(100) == b""
    process.join(30)
    assert process.exitcode == 0


def serve(thing):
    """Answer once on whatever came, and close it."""
    with thing:
        if isinstance(thing, socket.socket):
            thing.sendall(thing.recv(100).upper())
        elif isinstance(thing, Listener):
            with thing.accept() as accepted:
                accepted.send(accepted.recv().upper())
        else:
            thing.send(thing.recv().upper())


def serve_from(carrier):
    serve(carrier.recv() if hasattr(carrier, "recv") else carrier.get())


def ask(connection):
    with connection:
        connection.send("question")
        return connection.recv()


def ask_socket(sock):
    with sock:
        sock.sendall(b"question")
        return sock.recv(100).decode()


def made(kind):
    """Return a thing to send away, and what asks whoever has it then."""
    if kind == "socket":
        ours, theirs = socket.socketpair()
        return theirs, lambda: ask_socket(ours)
    if kind == "pipe":
        ours, theirs = Pipe()
        return theirs, lambda: ask(ours)
    listener = Listener(("127.0.0.1", 0))
    if kind == "listener":
        return listener, lambda: ask(Client(listener.address))
    client = Client(listener.address)
    with listener:
        return listener.accept(), lambda: ask(client)


@pytest.mark.parametrize("kind", ["pipe", "accepted", "listener", "socket"])
@pytest.mark.parametrize(
    "way", ["pipe", "one-way pipe", "Queue", "SimpleQueue", "pool", "manager", "argument"]
)
def test_everything_on_every_way(context, way, kind):
    thing, question = made(kind)
    with contextlib.ExitStack() as stack:
        if way == "pool":
            result = stack.enter_context(context.Pool(1)).apply_async(serve, (thing,))
            assert question() == "QUESTION"
            result.get(30)
            thing.close()
            return
        if way == "argument":
            process = context.Process(target=serve, args=(thing,))
            process.start()
        else:
            if way == "manager":
                put = carrier = stack.enter_context(context.Manager()).Queue()
            elif "pipe" in way:
                carrier, put = context.Pipe(duplex=way == "pipe")
            else:
                put = carrier = getattr(context, way)()
            process = context.Process(target=serve_from, args=(carrier,))
            process.start()
            (put.send if "pipe" in way else put.put)(thing)
        assert question() == "QUESTION"
        process.join(30)
        assert process.exitcode == 0
        thing.close()
