"""procession and CPython's package, each in a process of its own, over Listener and Client."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

import pytest

from procession_connection import Client, Listener
from procession_core import AuthenticationError


def pythons():
    """One interpreter of each version, this one first: before 3.12 the handshake was another."""
    found = {sys.version_info[:2]: sys.executable}
    candidates = [shutil.which(f"python3.{minor}") for minor in range(9, 16)]
    candidates += glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python"))
    for path in candidates:
        if path is None:
            continue
        try:
            text = subprocess.run(
                [path, "-c", "import sys; print(*sys.version_info[:2])"],
                capture_output=True,
                text=True,
                timeout=30,
            ).stdout
            major, minor = map(int, text.split())
        except (OSError, ValueError, subprocess.TimeoutExpired):
            continue
        if (major, minor) >= (3, 9):
            found.setdefault((major, minor), path)
    return [pytest.param(path, id=f"{major}.{minor}") for (major, minor), path in sorted(found.items())]


PREAMBLE = """
import sys, socket, os
import multiprocessing as mp
from multiprocessing.connection import Listener, Client
from multiprocessing.context import AuthenticationError, ProcessError
from multiprocessing import process
process.current_process().authkey = b"tree"
def out(x):
    print(repr(x), flush=True)
"""


class Real:
    """A process in which CPython's package runs *code*."""

    def __init__(self, python, code, *args):
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.process = subprocess.Popen(
            [python, "-c", PREAMBLE + code, *map(str, args)], stdout=subprocess.PIPE, text=True, env=env
        )

    def line(self):
        return eval(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            status = self.process.wait(60)
        finally:
            self.process.kill()
            self.process.stdout.close()
        assert status == 0


OBJECTS = [1, None, "text", b"x" * 100_000, {"a": [1, (2.5, {3})]}]
ECHO_CLIENT = """
address = eval(sys.argv[1])
with Client(address, authkey=b"key") as c:
    while True:
        try:
            c.send(c.recv())
        except EOFError:
            break
"""
ECHO_SERVER = """
with Listener(family=sys.argv[1], authkey=b"key") as l:
    out(l.address)
    with l.accept() as c:
        while True:
            try:
                c.send(c.recv())
            except EOFError:
                break
"""


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
@pytest.mark.parametrize("python", pythons())
def test_our_listener_their_client(python, family):
    with (
        Listener(family=family, authkey=b"key") as listener,
        Real(python, ECHO_CLIENT, repr(listener.address)),
    ):
        with listener.accept() as connection:
            for obj in OBJECTS:
                connection.send(obj)
                assert connection.recv() == obj


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
@pytest.mark.parametrize("python", pythons())
def test_their_listener_our_client(python, family):
    with Real(python, ECHO_SERVER, family) as real:
        with Client(real.line(), authkey=b"key") as connection:
            for obj in OBJECTS:
                connection.send(obj)
                assert connection.recv() == obj


@pytest.mark.parametrize("python", pythons())
def test_wrong_keys_on_either_side(python):
    code = """
try:
    Client(eval(sys.argv[1]), authkey=b"wrong")
except AuthenticationError as error:
    out(str(error))
"""
    with Listener(authkey=b"key") as listener, Real(python, code, repr(listener.address)) as real:
        with pytest.raises(AuthenticationError):
            listener.accept()
        assert real.line() == "digest sent was rejected"
    code = """
with Listener(authkey=b"wrong") as l:
    out(l.address)
    try:
        l.accept()
    except AuthenticationError as error:
        out(str(error))
"""
    with Real(python, code) as real:
        with pytest.raises(AuthenticationError):
            Client(real.line(), authkey=b"key")
        assert real.line() == "digest received was wrong"


@pytest.mark.parametrize("python", pythons())
def test_exceptions_have_the_names_of_the_other_side(python):
    code = """
with Client(eval(sys.argv[1]), authkey=b"key") as c:
    error = c.recv()
    out((type(error).__module__, type(error).__name__, error.args))
    c.send(mp.BufferTooShort(b"theirs"))
    c.send([ProcessError, mp.TimeoutError("t")])
"""
    from procession_core import BufferTooShort, ProcessError, TimeoutError  # noqa: A004

    with Listener(authkey=b"key") as listener, Real(python, code, repr(listener.address)) as real:
        with listener.accept() as connection:
            connection.send(BufferTooShort(b"ours"))
            assert real.line() == ("multiprocessing.context", "BufferTooShort", (b"ours",))
            error = connection.recv()
            assert type(error) is BufferTooShort and error.args == (b"theirs",)
            cls, timeout = connection.recv()
            assert cls is ProcessError and type(timeout) is TimeoutError


@pytest.mark.linux_only
@pytest.mark.parametrize("python", pythons())
def test_connections_and_sockets_go_both_ways(python):
    """By the sharing thread, whose protocol is CPython's too."""
    import socket

    from procession_connection import Pipe, stop_sharing
    from procession_core import runtime

    code = """
with Client(eval(sys.argv[1]), authkey=b"key") as c:
    w = c.recv()
    w.send("through our pipe")
    w.close()
    s = c.recv()
    s.send(b"through our socket")
    s.close()
    r, w = mp.Pipe(duplex=False)
    c.send(w)
    w.close()
    out(r.recv())
"""
    before = runtime.authkey
    runtime.authkey = b"tree"
    try:
        with Listener(authkey=b"key") as listener, Real(python, code, repr(listener.address)) as real:
            with listener.accept() as connection:
                reader, writer = Pipe(duplex=False)
                connection.send(writer)
                assert reader.recv() == "through our pipe"
                one, two = socket.socketpair()
                connection.send(one)
                assert two.recv(100) == b"through our socket"
                theirs = connection.recv()
                theirs.send("through their pipe")
                assert real.line() == "through their pipe"
                for closing in (reader, writer, one, two, theirs):
                    closing.close()
    finally:
        runtime.authkey = before
        stop_sharing()
