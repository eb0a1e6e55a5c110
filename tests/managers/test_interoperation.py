"""The same protocol as CPython's package, in both directions, against the real package in another process."""

from __future__ import annotations

import glob
import os
import subprocess
import sys
from pathlib import Path

import pytest

import procession_managers

from .waiting import at_once, until

FOREIGN = str(Path(__file__).with_name("foreign.py"))
KEY = b"shared secret"
PYTHONS = [sys.executable, *sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.1[3-9]*/bin/python")))]


class Thing:
    def greet(self, name: str) -> str:
        return "hello " + name

    def fail(self) -> None:
        raise ValueError("as asked")


class Ours(procession_managers.SyncManager):
    pass


Ours.register("Thing", Thing)


def plain_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


@pytest.mark.parametrize("python", PYTHONS)
def test_client_of_cpython_uses_our_server(python: str) -> None:
    with Ours(("127.0.0.1", 0), KEY) as manager:
        outcome = subprocess.run(
            [python, FOREIGN, "client", str(manager.address[1])],
            env=plain_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert outcome.stdout == "done\n", outcome.stderr
        at_once(lambda: manager._number_of_objects() == 0)


@pytest.mark.linux_only
@pytest.mark.parametrize("python", PYTHONS)
def test_killed_client_of_cpython_leaves_nothing(python: str) -> None:
    with Ours(authkey=KEY) as manager:
        process = subprocess.Popen(
            [python, FOREIGN, "hang", manager.address],
            env=plain_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stdin is not None
        with process, process.stdout, process.stdin:
            assert process.stdout.readline() == "2 5\n"
            assert manager._number_of_objects() == 7
            process.kill()
        until(lambda: manager._number_of_objects() == 0)


@pytest.mark.parametrize("python", PYTHONS)
def test_our_client_uses_server_of_cpython(python: str) -> None:
    server = subprocess.Popen(
        [python, FOREIGN, "serve"],
        env=plain_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None and server.stdin is not None
    try:
        manager = Ours(("127.0.0.1", int(server.stdout.readline())), KEY)
        manager.connect()
        d = manager.dict(a=1)
        d["b"] = 2
        assert d.copy() == {"a": 1, "b": 2}
        items = manager.list([1])
        d["items"] = items
        d["items"].append(2)
        assert str(items) == "[1, 2]"
        assert sorted(manager.dict(x=1)) == ["x"]
        queue = manager.Queue()
        queue.put(1)
        assert queue.get(timeout=5) == 1
        with manager.RLock() as got:
            assert got
        assert manager.Thing().greet("you") == "hello you"
        with pytest.raises(ValueError, match="as asked"):
            manager.Thing().fail()
        with pytest.raises(procession_managers.RemoteError, match="exposed"):
            d._callmethod("__class__")
        with d.batch() as batch:
            batch["c"] = 3
            got = batch.get("c")
        assert got.value == 3
        del d["items"]
        del d, items, queue, batch, got
        server.stdin.write("\n")
        server.stdin.flush()
        left = int(server.stdout.readline())
        assert left <= 1  # CPython's servers keep what a nested proxy has referred to
    finally:
        server.stdin.close()
        assert server.wait(timeout=20) == 0
        server.stdout.close()
