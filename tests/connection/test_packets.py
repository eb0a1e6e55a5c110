"""The second socket of a listener, over which this library's own clients come."""

from __future__ import annotations

import os
import select
import socket
import stat
import subprocess
import sys
import threading

import pytest

from procession_connection import Client, Listener, wait
from procession_connection._kinds import PACKET, UNIX
from procession_connection._variant import core

pytestmark = [
    pytest.mark.linux_only,
    pytest.mark.skipif(core is None, reason="the portable variant reads streams"),
]
KEY = b"key"


def kind_of(connection):
    with socket.socket(fileno=os.dup(connection.fileno())) as sock:
        return PACKET if sock.type == socket.SOCK_SEQPACKET else UNIX


def pair(listener, connect):
    found = []
    thread = threading.Thread(target=lambda: found.append(connect()))
    thread.start()
    accepted = listener.accept()
    thread.join()
    return found[0], accepted


@pytest.mark.parametrize("key", [None, KEY])
def test_own_clients_come_by_packets(key, leak_check):
    with Listener(authkey=key) as listener:
        client, accepted = pair(listener, lambda: Client(listener.address, authkey=key))
        with client, accepted:
            assert kind_of(client) == kind_of(accepted) == PACKET
            for message in (1, "x" * 100_000, [b"y" * 70_000]):
                sender = threading.Thread(target=client.send, args=(message,))
                sender.start()
                assert accepted.recv() == message
                sender.join()
                accepted.send(message if message == 1 else 2)
                assert client.recv() in (1, 2)


@pytest.mark.parametrize("options", [{"packets": False}, {"address": "named"}])
def test_where_there_is_none(options, tmp_path):
    if "address" in options:
        options = {"address": str(tmp_path / "packets-x")}
    with Listener(authkey=KEY, **options) as listener:
        client, accepted = pair(listener, lambda: Client(listener.address, authkey=KEY))
        with client, accepted:
            assert kind_of(client) == kind_of(accepted) == UNIX


def test_a_client_with_a_timeout_and_one_of_the_portable_variant_come_by_the_stream():
    code = (
        "import sys; from procession_connection import Client; "
        "c = Client(sys.argv[1], authkey=b'key'); c.send(c.recv())"
    )
    with Listener(authkey=KEY) as listener:
        client, accepted = pair(listener, lambda: Client(listener.address, authkey=KEY, timeout=30))
        with client, accepted:
            assert kind_of(client) == UNIX
        environment = {**os.environ, "PROCESSION_NATIVE": "0"}
        child = subprocess.Popen([sys.executable, "-c", code, listener.address], env=environment)
        with listener.accept() as accepted:
            assert kind_of(accepted) == UNIX
            accepted.send("through")
            assert accepted.recv() == "through"
        assert child.wait() == 0


def test_both_sockets_are_private_and_go(leak_check):
    listener = Listener()
    paths = [listener.address, listener.address + ".p"]
    for path in paths:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    listener.close()
    assert not any(map(os.path.exists, paths))


@pytest.mark.parametrize("packets", [False, True])
def test_the_descriptor_tells_of_both(packets, leak_check):
    with Listener(backlog=4) as listener:
        assert not select.select([listener], [], [], 0)[0]
        address = listener.address + ".p" if packets else listener.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if packets else socket.SOCK_STREAM) as raw:
            raw.connect(address)
            assert select.select([listener], [], [], 10)[0]
            assert wait([listener], 10) == [listener]
            with listener.accept() as accepted:
                assert kind_of(accepted) == (PACKET if packets else UNIX)
            assert not select.select([listener], [], [], 0)[0]


def test_no_socket_starves_the_other(leak_check):
    """A crowd on either one does not keep a client of the other one waiting for long."""
    for crowd_by_packets in (False, True):
        with Listener(backlog=64) as listener:
            paths = {
                False: (listener.address, socket.SOCK_STREAM),
                True: (listener.address + ".p", socket.SOCK_SEQPACKET),
            }
            raws = []
            for packets in [crowd_by_packets] * 40 + [not crowd_by_packets]:
                path, kind = paths[packets]
                raws.append(socket.socket(socket.AF_UNIX, kind))
                raws[-1].connect(path)
            kinds = []
            for _ in raws:
                with listener.accept() as accepted:
                    kinds.append(kind_of(accepted) == PACKET)
            assert kinds.index(not crowd_by_packets) < 20
            for raw in raws:
                raw.close()


@pytest.mark.parametrize("nonsense", [b"", b"x", b"\0\0\0\x28" + b"{sha256}" + bytes(32), bytes(60_000)])
def test_nonsense_in_packets_only_drops_the_client(nonsense, leak_check):
    from procession_core import AuthenticationError

    with Listener(authkey=KEY, backlog=8) as listener:
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        raw.connect(listener.address + ".p")
        raw.send(nonsense)
        served = []

        def serve():
            while not served:
                try:
                    with listener.accept() as accepted:
                        served.append(accepted.recv())
                except AuthenticationError:
                    pass

        server = threading.Thread(target=serve)
        server.start()
        with Client(listener.address, authkey=KEY) as client:
            client.send("served")
        server.join()
        raw.close()
        assert served == ["served"]


def accept_one(listener, answers):
    with listener, listener.accept() as accepted:
        answers.send((kind_of(accepted), accepted.recv()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_listener_that_was_sent_has_both(method):
    import procession

    context = procession.get_context(method)
    reader, writer = context.Pipe(duplex=False)
    listener = Listener(authenticate=True, backlog=4)
    process = context.Process(target=accept_one, args=(listener, writer))
    process.start()
    with Client(listener.address, authenticate=True) as client:
        client.send("hello")
        assert reader.recv() == (PACKET, "hello")
    process.join()
    listener.close()


def test_async_accept_takes_from_both():
    import asyncio

    async def main():
        with Listener(backlog=4) as listener:
            for suffix, kind in ((".p", socket.SOCK_SEQPACKET), ("", socket.SOCK_STREAM)):
                task = asyncio.ensure_future(listener.async_accept())
                await asyncio.sleep(0)
                with socket.socket(socket.AF_UNIX, kind) as raw:
                    raw.connect(listener.address + suffix)
                    with await task as accepted:
                        assert (kind_of(accepted) == PACKET) == (kind == socket.SOCK_SEQPACKET)

    asyncio.run(main())


def test_descriptor_is_a_socket_only_without_packets():
    with Listener() as listener:
        number = os.dup(listener.fileno())
        with pytest.raises(OSError):
            socket.socket(fileno=number)
        os.close(number)
        assert not select.select([listener], [], [], 0)[0]
        with Client(listener.address):
            assert select.select([listener], [], [], 5)[0] == [listener] == wait([listener], 5)
    with Listener(packets=False) as listener, socket.socket(fileno=os.dup(listener.fileno())) as sock:
        assert sock.getsockname() == listener.address
