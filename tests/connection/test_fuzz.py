"""Mutated handshakes, frames and pickles against a live listener. PROCESSION_FUZZ sets the number of inputs."""

from __future__ import annotations

import builtins
import os
import pickle
import random
import socket
import struct
import threading

import pytest

from procession_connection import (
    CHALLENGE,
    FAILURE,
    WELCOME,
    Client,
    Connection,
    Listener,
    Pipe,
    allow,
    create_response,
    wire_reducer,
)
from procession_core import AuthenticationError, BufferTooShort

from .damage import asks_for_much_memory

INPUTS = int(os.environ.get("PROCESSION_FUZZ", "20000"))
KEY = b"secret"


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def frame(data):
    return struct.pack("!i", len(data)) + data


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        kind = rng.randrange(5)
        at = rng.randrange(len(data) + 1)
        if kind == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 2:
            del data[at : at + rng.randrange(1, 9)]
        elif kind == 3:
            del data[at:]
        elif at < len(data):
            data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


@pytest.mark.timeout(600 + INPUTS // 100)
def test_handshakes(tmp_path, leak_check):
    crater = str(tmp_path / "crater")
    bomb = pickle.dumps(Bomb(crater))
    nonce = b"{sha256}" + b"n" * 40
    seeds = [
        frame(create_response(b"wrong", nonce)) + frame(CHALLENGE + nonce) + frame(WELCOME) + frame(bomb),
        frame(b"{md5}" + b"x" * 16) + frame(CHALLENGE + b"n" * 20) + frame(WELCOME),
        frame(b"x" * 16) + frame(bomb),
        frame(bomb),
        frame(WELCOME) + frame(FAILURE),
        b"\xff\xff\xff\xff" + struct.pack("!Q", 1 << 40) + bomb,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"",
    ]
    rng = random.Random(20)
    leak_check.rebase()
    served = []
    refused = []
    with Listener(authkey=KEY, backlog=64, handshake_timeout=10) as listener:

        def serve():
            while True:
                try:
                    with listener.accept() as accepted:
                        message = accepted.recv()
                        accepted.send(message)
                        served.append(message)
                        if message is None:
                            return
                except AuthenticationError as error:
                    refused.append(type(error))

        server = threading.Thread(target=serve)
        server.start()
        for number in range(INPUTS):
            packets = number % 5 == 0 and os.path.exists(listener.address + ".p")
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET if packets else socket.SOCK_STREAM)
            sock.connect(listener.address + ".p" * packets)
            data = mutate(rng, rng.choice(seeds))
            sock.settimeout(0.02)
            try:
                if number % 3 == 0:  # wait for each answer, as the protocol has it
                    while data:
                        sock.recv(1000)
                        size = 4 + int.from_bytes(data[:4], "big")
                        sock.send(data[:size])
                        data = data[size:]
                elif number % 3 == 1:
                    sock.send(data[: len(data) // 2])
                    data = data[len(data) // 2 :]
                sock.send(data)
            except (BrokenPipeError, ConnectionResetError, TimeoutError):
                pass
            sock.close()
            if number % 1000 == 0:
                with Client(listener.address, authkey=KEY) as honest:
                    honest.send(number)
                    assert honest.recv() == number
        with Client(listener.address, authkey=KEY) as honest:
            honest.send(None)
            honest.recv()
        server.join()
    assert not os.path.exists(crater), "something was unpickled without authentication"
    assert len(served) == 1 + (INPUTS + 999) // 1000
    assert refused, "no input came as far as a wrong answer"


def test_frames():
    rng = random.Random(21)
    for number in range(INPUTS // 4):
        messages = [rng.randbytes(rng.randrange(50)) for _ in range(rng.randrange(1, 4))]
        data = mutate(rng, b"".join(map(frame, messages)))
        # Lengths that no memory holds are refused by the memory, not here; keep the machine out of it.
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        with Connection(reading, writable=False) as reader:
            received = []
            try:
                while True:
                    limit = None if number % 3 else 1000
                    if number % 2:
                        room = bytearray(20)
                        received.append(bytes(room[: reader.recv_bytes_into(room)]))
                    elif len(data) < 4 or max(data[0::1]) < 2:
                        received.append(reader.recv_bytes(limit))
                    else:
                        received.append(reader.recv_bytes(1000))
            except BufferTooShort as error:
                received.append(error.args[0])
            except (EOFError, OSError, MemoryError):
                pass
            assert all(isinstance(message, bytes) for message in received)


def test_packets():
    rng = random.Random(22)
    for _ in range(INPUTS // 4):
        reader, writer = Pipe()
        with socket.socket(fileno=os.dup(writer.fileno())) as raw:
            for _ in range(rng.randrange(1, 4)):
                packet = mutate(rng, frame(rng.randbytes(rng.randrange(50))))
                if packet:
                    raw.send(packet)
        writer.close()
        with reader:
            try:
                while True:
                    reader.recv_bytes(100_000)
            except (EOFError, OSError):
                pass


def test_pickles_under_allow(monkeypatch):
    called = []
    bombs = [pickle.dumps([Bomb("x"), 1], protocol) for protocol in (0, 2, 4)]
    monkeypatch.setattr(os, "mkdir", lambda *args: called.append(args))
    monkeypatch.setattr(builtins, "eval", lambda *args: called.append(args))
    rng = random.Random(23)
    seeds = [
        wire_reducer.dumps([AuthenticationError("x"), {"a": (1, 2.5, b"x")}, "text"], protocol)
        for protocol in (2, 4, 5)
    ]
    seeds += bombs
    seeds += [b"cbuiltins\neval\n(S'1'\ntR."]
    loads = allow("multiprocessing.context.AuthenticationError")
    for _ in range(INPUTS):
        data = mutate(rng, rng.choice(seeds))
        if asks_for_much_memory(data):
            continue
        try:
            loads(data)
        except Exception:
            pass
    assert not called
