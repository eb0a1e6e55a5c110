"""The manual's examples of customized and remote managers, with processes of their own and TCP between them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = str(Path(__file__).with_name("remote.py"))


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def port() -> Iterator[str]:
    """The port of a server in a process that nobody here has started as a child of the library."""
    server = subprocess.Popen([sys.executable, PROGRAM, "server"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    with server, server.stdout:
        found = server.stdout.readline().strip()
        yield found
        run("stop", found)
        assert server.wait(20) == 0


def test_two_clients_and_a_local_process(port: str) -> None:
    assert run("put", port, "hello") == "put"
    # The first is of a process on the server's side.
    assert run("get", port, "2") == "local hello, hello"
    assert run("put", port, "again") == "put"
    assert run("get", port, "1") == "again"


def test_proxies_inside_proxies_outlive_their_makers(port: str) -> None:
    shown = run("nest", port)
    assert re.fullmatch(r"\[<ListProxy object, typeid 'list' at 0x[0-9a-f]+>\] \[1, 2\] 7 56", shown), shown
    assert run("look", port) == "[1, 2, 3] True 1"
    assert run("look", port) == "[1, 2, 3, 3] True 1"
