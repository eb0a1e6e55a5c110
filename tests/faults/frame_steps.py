"""Kills either side of a connection between a Listener and a Client at every step. Run by test_frame_steps.py.

A program of its own, because it needs the build of the core that dies on request; there a long message also
takes a call for each 64 KiB, so that some die in the middle of one. A child, which has connected by itself as
one that forks reads nothing ahead, dies at the k-th system call or store. The other side gets whole messages in
order, then the end of the stream or an error, and goes on; no descriptor stays open.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from killing import STRIDE, require

from procession_connection import Client, Listener
from procession_native import core

PATIENCE = 30.0
SEEN: dict[str, int] = {}
# The second and the third come along with the first that is shorter than the one before it.
MESSAGES: list[Any] = ["L" * 200, 1, (2, None), "x" * 3000, b"y" * 300_000, ["z"], 7, "e" * 5000, 9]
ENDS = (EOFError, ConnectionResetError, BrokenPipeError)
CUT = "got end of file during message"


def descriptors() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{fd}").partition(":")[0])
    return sorted(found)


def address(family: str, folder: str) -> tuple[Any, str]:
    if family == "AF_INET":
        return ("127.0.0.1", 0), family
    return (None if family == "packets" else os.path.join(folder, "socket")), "AF_UNIX"


def send_all(connection: Any, count: int = len(MESSAGES), first: int = 0) -> int:
    """How many could be sent."""
    for number, message in enumerate(MESSAGES[first:count]):
        try:
            connection.send_bytes(message) if type(message) is bytes else connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return number
    return count - first


def receive_all(connection: Any) -> tuple[list[Any], BaseException | None]:
    found: list[Any] = []
    room = bytearray(400_000)
    while True:
        message = MESSAGES[len(found) % len(MESSAGES)]
        try:
            if type(message) is not bytes:
                found.append(connection.recv())
            elif len(found) % 2:
                found.append(connection.recv_bytes())
            else:
                found.append(bytes(room[: connection.recv_bytes_into(room)]))
        except (EOFError, OSError) as error:
            return found, error


def echo(connection: Any, go: int) -> None:
    with suppress(EOFError):
        while True:
            connection.send(connection.recv())


def reads(connection: Any, go: int) -> None:
    os.read(go, 1)
    receive_all(connection)


def writes(connection: Any, go: int) -> None:
    os.read(go, 1)
    send_all(connection)


def serve_reader(connection: Any, go: int, label: str) -> bool:
    early = send_all(connection, 4)
    os.write(go, b"g")
    sent = early + send_all(connection, first=4)
    require(early == 4 or sent == early, f"{label}: {early} {sent}")
    return sent == len(MESSAGES)


def serve_writer(connection: Any, go: int, label: str) -> bool:
    os.write(go, b"g")
    found, error = receive_all(connection)
    require(found == MESSAGES[: len(found)], f"{label}: {str(found)[:200]}")
    require(isinstance(error, ENDS) or CUT in str(error), f"{label}: {error!r}")
    return len(found) == len(MESSAGES)


def serve_echo(connection: Any, go: int, label: str) -> bool:
    """A thread sends and another one receives."""
    sent: list[int] = []
    small = [message for message in MESSAGES if type(message) is not bytes]

    def send() -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            for message in small:
                connection.send(message)
                sent.append(1)

    sender = threading.Thread(target=send)
    sender.start()
    found: list[Any] = []
    error: BaseException | None = None
    try:
        while len(found) < len(small):
            found.append(connection.recv())
    except (EOFError, OSError) as problem:
        error = problem
    sender.join(PATIENCE)
    require(not sender.is_alive(), f"{label}: the sending thread hangs")
    require(found == small[: len(found)], f"{label}: {str(found)[:200]}")
    require(error is None or isinstance(error, ENDS) or CUT in str(error), f"{label}: {error!r}")
    return len(found) == len(small)


def forked_reader(connection: Any, go: int, k: int, results: int) -> None:
    """It receives ahead, forks a second reader, and dies; the second one goes on when it is dead."""
    os.read(go, 1)
    first = [connection.recv(), connection.recv()]  # after these two the third is ahead
    life_in, life_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(life_out)
        os.read(life_in, 1)
        says: list[Any] = []
        try:
            while True:
                says.append(connection.recv())
        except EOFError:
            pass
        except OSError as error:
            says.append(str(error))
        os.write(results, json.dumps(says).encode())
        os._exit(0)
    os.close(life_in)
    core.fault_set(k)
    got = connection.recv()
    core.fault_set(0)
    require(first == MESSAGES[:2] and got == MESSAGES[2], f"{first} {got}")
    os._exit(0)


def run(name: str, family: str, child: Callable[..., None], serve: Callable[[Any, int, str], bool]) -> None:
    k = 1 - STRIDE
    ended = False
    while not ended:
        k += STRIDE
        label = f"{family}: {name}, step {k}"
        before = descriptors()
        with tempfile.TemporaryDirectory() as folder:
            where, kind = address(family, folder)
            with Listener(where, kind) as listener:
                go_in, go_out = os.pipe()
                pid = os.fork()
                if pid == 0:
                    with Client(listener.address) as connection:
                        core.fault_set(k)
                        child(connection, go_in)
                        core.fault_set(0)
                    os._exit(0)
                with listener.accept() as connection:
                    try:
                        whole = serve(connection, go_out, label)
                    except ENDS:
                        whole = False
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.close(go_in)
                os.close(go_out)
                # The listener still serves.
                with Client(listener.address) as again, listener.accept() as other:
                    again.send(k)
                    require(other.recv() == k, label)
        ended = code == 0
        require(ended or code == -signal.SIGKILL, f"{label}: exit code {code}")
        require(whole or not ended, f"{label}: messages are missing")
        require(descriptors() == before, f"{label}: {descriptors()} instead of {before}")
    SEEN[f"{family}: {name}"] = k - 1
    print(family, name, k - 1, file=sys.stderr, flush=True)


def run_forked() -> None:
    """The bytes ahead are the forked reader's, unless the dead one had begun to take them."""
    small = [message for message in MESSAGES if type(message) is not bytes]
    k, ended = 0, False
    outcomes = set()
    while not ended:
        k += 1
        label = f"forked reader, step {k}"
        with Listener(("127.0.0.1", 0)) as listener:
            go_in, go_out = os.pipe()
            results_in, results_out = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(results_in)
                forked_reader(Client(listener.address), go_in, k, results_out)
            os.close(results_out)
            with listener.accept() as connection:
                for message in small:
                    connection.send(message)
                os.write(go_out, b"g")
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with open(results_in, "rb") as file:
                says = json.loads(file.read())
            os.close(go_in)
            os.close(go_out)
        ended = code == 0
        require(ended or code == -signal.SIGKILL, f"{label}: exit code {code}")
        rest = json.loads(json.dumps(small[2:]))
        torn = len(says) == 1 and "bad message length" in str(says[0])
        outcomes.add("torn" if torn else len(rest) - len(says))
        require(says in (rest, rest[1:]) or (torn and not ended), f"{label}: {says}")
        require(not ended or says == rest[1:], f"{label}: {says}")
    require({0, 1} <= outcomes, f"forked reader: {outcomes}")
    SEEN["forked reader"] = k - 1


core.ensure()
signal.alarm(550)
for family in ("AF_INET", "AF_UNIX", "packets"):
    run("the receiver", family, reads, serve_reader)
    run("the sender", family, writes, serve_writer)
    run("who answers", family, echo, serve_echo)
run_forked()
print(json.dumps(SEEN))
