"""Either side killed at each stage: the other one gets an error or goes on, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading

import pytest

from procession_connection import Client, Listener, Pipe
from procession_connection._handshake import accepting, connecting
from procession_core import AuthenticationError

KEY = b"key"


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def read_message(sock, buffer):
    while len(buffer) < 4 or len(buffer) < 4 + struct.unpack_from("!i", buffer)[0]:
        data = sock.recv(600)
        if not data:
            die()
        buffer += data
    end = 4 + struct.unpack_from("!i", buffer)[0]
    message = bytes(buffer[4:end])
    del buffer[:end]
    return message


def walk(sock, handshake, steps):
    """Go *steps* steps of a handshake over a plain socket, then die."""
    step = next(handshake)
    buffer = bytearray()
    for _ in range(steps):
        try:
            if isinstance(step, int):
                step = handshake.send(read_message(sock, buffer))
            else:
                sock.sendall(struct.pack("!i", len(step)) + step)
                step = next(handshake)
        except StopIteration:
            break
    die()


def forked(call, *args):
    pid = os.fork()
    if pid == 0:
        try:
            call(*args)
        finally:
            os._exit(1)
    return pid


def killed(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("packets", [False, True])
@pytest.mark.parametrize("steps", range(7))
def test_a_client_killed_during_the_handshake(steps, packets, leak_check):
    def client(address):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if packets else socket.SOCK_STREAM)
        sock.connect(address + ".p" * packets)
        walk(sock, connecting(KEY), steps)

    with Listener(authkey=KEY, backlog=8) as listener:
        if packets and not os.path.exists(listener.address + ".p"):
            pytest.skip("needs the C core and Linux")
        pid = forked(client, listener.address)

        def serve():
            while True:
                with listener.accept() as accepted:
                    try:
                        accepted.send(accepted.recv())
                        return
                    except (EOFError, OSError):  # the dead one had come through
                        continue

        server = threading.Thread(target=serve)
        server.start()
        assert killed(pid)
        with Client(listener.address, authkey=KEY) as connection:
            connection.send(1)
            assert connection.recv() == 1
        server.join()


@pytest.mark.parametrize("steps", range(7))
def test_a_listener_killed_during_the_handshake(steps, tmp_path, leak_check):
    path = str(tmp_path / "socket")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen()

    def server():
        sock, _ = listening.accept()
        listening.close()
        walk(sock, accepting(KEY), steps)

    pid = forked(server)
    listening.close()
    try:
        connection = Client(path, authkey=KEY)
    except (EOFError, OSError, AuthenticationError):
        assert steps < 7
    else:
        with pytest.raises((EOFError, OSError)):
            connection.recv()
        connection.close()
    assert killed(pid)


@pytest.mark.parametrize("duplex", [True, False])
def test_a_sender_killed_in_the_middle_of_a_message(duplex, leak_check):
    reader, writer = Pipe(duplex)

    def send():
        reader.close()
        writer.fileno()  # through the descriptor: in the arena a message is there at once or never
        writer.send_bytes(bytes(50_000_000))  # more than any pipe holds

    pid = forked(send)
    writer.close()
    assert reader.poll(20)
    os.kill(pid, signal.SIGKILL)
    assert killed(pid)
    with pytest.raises(OSError, match="got end of file during message"):
        reader.recv_bytes()
    reader.close()


@pytest.mark.parametrize("duplex", [True, False])
def test_a_receiver_killed_in_the_middle_of_a_message(duplex, leak_check):
    reader, writer = Pipe(duplex)

    def receive():
        writer.close()
        os.read(reader.fileno(), 1000)
        die()

    pid = forked(receive)
    reader.close()
    with pytest.raises(OSError):
        writer.send_bytes(bytes(50_000_000))
    assert killed(pid)
    writer.close()


def test_a_reader_sees_the_death_of_the_only_writer(leak_check):
    reader, writer = Pipe(duplex=False)
    pid = forked(die)
    writer.close()
    assert killed(pid)
    assert reader.poll(10)
    with pytest.raises(EOFError):
        reader.recv()
    reader.close()


def send_and_die(client):
    threading.Timer(0.3, die).start()
    client.send_bytes(bytes(200_000_000))  # more than any socket holds
    die()


def receive_and_die(client):
    client.poll(None)
    die()


STAGES = {
    "connected": lambda client: die(),
    "between messages": lambda client: (client.send("one"), die()),
    "sending": lambda client: (client.send("one"), send_and_die(client)),
    "receiving": lambda client: (client.send("one"), receive_and_die(client)),
}


@pytest.mark.parametrize("side", ["client", "listener"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("key", [None, KEY], ids=["no key", "key"])
@pytest.mark.parametrize("family", ["packets", "AF_UNIX", "AF_INET"])
def test_a_peer_killed_after_the_handshake(family, key, stage, side, tmp_path, leak_check):
    address = {"packets": None, "AF_UNIX": str(tmp_path / "socket"), "AF_INET": ("127.0.0.1", 0)}[family]
    with Listener(address, None if address else "AF_UNIX", authkey=key) as listener:
        if side == "client":
            pid = forked(lambda: STAGES[stage](Client(listener.address, authkey=key)))
            connection = listener.accept()
        else:
            pid = forked(lambda: STAGES[stage](listener.accept()))
            connection = Client(listener.address, authkey=key)
        with connection:
            if stage != "connected":
                assert connection.recv() == "one"
            if stage == "receiving":
                with pytest.raises(OSError):
                    while True:
                        connection.send_bytes(bytes(1_000_000))
            elif stage == "sending":
                assert killed(pid)
                pid = None
                with pytest.raises(OSError):
                    connection.recv_bytes()
            else:
                with pytest.raises((EOFError, ConnectionResetError)):
                    connection.recv()
        assert pid is None or killed(pid)
        # The listener serves the next one, where it is still this process's.
        thread = threading.Thread(target=lambda: Client(listener.address, authkey=key).close())
        thread.start()
        listener.accept().close()
        thread.join()
