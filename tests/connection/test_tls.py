"""TLS, mutual too, with certificates made for the test."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading

import pytest

from procession_connection import Client, Listener, Pipe, wait
from procession_core import AuthenticationError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client", "stranger"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    return folder


def server_context(folder, mutual=True):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "client.pem")
    return context


def client_context(folder, name="client"):
    context = ssl.create_default_context(cafile=folder / "server.pem")
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


@pytest.fixture(params=[None, b"key"])
def pair(request, certificates):
    key = request.param
    found = []
    with Listener(("127.0.0.1", 0), authkey=key, ssl=server_context(certificates)) as listener:

        def connect():
            found.append(Client(listener.address, authkey=key, ssl=client_context(certificates)))

        thread = threading.Thread(target=connect)
        thread.start()
        accepted = listener.accept()
        thread.join()
    yield found[0], accepted
    found[0].close()
    accepted.close()


def test_messages_of_all_sizes(pair):
    client, server = pair
    assert server.tls.getpeercert()["subject"] == ((("commonName", "client"),),)
    for size in (0, 1, 16000, 16001, 1_000_000):
        thread = threading.Thread(target=client.send_bytes, args=(b"x" * size,))
        thread.start()
        assert server.recv_bytes() == b"x" * size
        thread.join()
        thread = threading.Thread(target=server.send, args=(b"y" * size,))
        thread.start()
        assert client.recv() == b"y" * size
        thread.join()
    room = bytearray(10)
    client.send_bytes(b"12345")
    assert server.recv_bytes_into(room, 2) == 5 and room[2:7] == b"12345"


def test_both_directions_at_once(pair):
    client, server = pair
    received = []
    threads = [
        threading.Thread(target=lambda c=c: [c.send_bytes(b"z" * 5000) for _ in range(200)])
        for c in (client, server)
    ]
    threads += [
        threading.Thread(target=lambda c=c: received.extend(len(c.recv_bytes()) for _ in range(200)))
        for c in (client, server)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert received == [5000] * 400


def test_poll_and_wait_see_what_is_decrypted_already(pair):
    client, server = pair
    assert not server.poll() and not server.poll(0.01)
    assert wait([server], 0.01) == []
    for _ in range(3):
        client.send(1)
    assert server.poll(5) and wait([server], 5) == [server]
    for _ in range(3):
        assert wait([server], 5) == [server]
        assert server.recv() == 1
    assert wait([server, client], 0.01) == []
    client.close()
    assert server.poll(5)
    with pytest.raises(EOFError):
        server.recv()


def test_they_cannot_be_sent(pair):
    a, b = Pipe()
    with pytest.raises(TypeError, match="TLS"):
        a.send(pair[0])
    a.close()
    b.close()


def test_strangers_hold_up_nobody(certificates):
    results = []
    with Listener(("127.0.0.1", 0), authkey=b"key", backlog=8, ssl=server_context(certificates)) as listener:

        def connect(context):
            try:
                with Client(listener.address, authkey=b"key", ssl=context) as connection:
                    connection.send("hello")
                    results.append(connection.recv())
            except (OSError, EOFError, AuthenticationError) as error:
                results.append(error)

        stranger = threading.Thread(target=connect, args=(client_context(certificates, "stranger"),))
        plain = threading.Thread(target=connect, args=(None,))
        honest = threading.Thread(target=connect, args=(client_context(certificates),))
        for thread in (stranger, plain):
            thread.start()
        honest.start()
        with listener.accept() as accepted:
            assert accepted.recv() == "hello"
            accepted.send("welcome")
            honest.join()
        listener.close()
        stranger.join(30)
        plain.join(30)
    assert results.count("welcome") == 1 and len(results) == 3


def test_only_over_tcp(certificates):
    with pytest.raises(ValueError, match="ssl is for TCP"):
        Listener(family="AF_UNIX", ssl=server_context(certificates))
    with pytest.raises(ValueError, match="ssl is for TCP"):
        Client("/nowhere", ssl=client_context(certificates))
