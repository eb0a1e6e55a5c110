"""Kills a process at every store of every operation on the ring of a pipe.  Run by test_ring_steps.py.

A program of its own, because it needs the build of the core that dies on request.  For each scenario and each
k = 1, 2, … a forked child arms the k-th fault point, runs the operation and dies there.  The survivors then find
every message delivered once and in order, but for those in the hands of the killed process; then the end of the stream;
no message hidden from one who waits; and all memory back.  A scenario ends with the first k that the operation
does not reach.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from killing import STRIDE, reap, require, used

from procession_connection import Pipe, wait
from procession_native import core

SEEN: dict[str, int] = {}
PATIENCE = 20.0


def item(i: int) -> Any:
    """Messages of every way to travel: a tagged value, a pickle, a block, a block that a pickle names."""
    shapes = [lambda: i, lambda: [i], lambda: b"%d " % i + b"x" * 40_000, lambda: [i, bytearray(70_000)]]
    return shapes[i % 4]()


def number(thing: Any) -> int:
    return (
        int(thing[0])
        if isinstance(thing, list)
        else int(thing.split()[0])
        if isinstance(thing, bytes)
        else thing
    )


def rest(reader: Any, name: str) -> list[int]:
    """Everything up to the end of the stream; a reader that sleeps must be woken for it."""
    found = []
    while True:
        require(wait([reader], PATIENCE) and reader.poll(PATIENCE), f"{name}: nothing comes")
        try:
            found.append(number(reader.recv()))
        except EOFError:
            return found


def run(name: str, duplex: bool, before: list[int], operation: Callable[[Any, Any], Any], adds: list[int], takes: int,
        asleep: bool = False, descriptor: bool = False) -> None:  # fmt: skip
    k = 1 - STRIDE
    ended = False
    while not ended:
        k += STRIDE
        start = used()
        reader, writer = Pipe(duplex)
        if asleep:
            reader.poll(0.001)  # leaves the wish to be woken
        for i in before:
            writer.send(item(i))
        pid = os.fork()
        if pid == 0:
            core.fault_set(k)
            operation(reader, writer)
            core.fault_set(0)
            os._exit(0)
        code = reap(pid)
        ended = code == 0
        label = f"{name}, step {k}"
        require(ended or code == -signal.SIGKILL, f"{label}: exit code {code}")
        if descriptor:
            fd = reader.fileno()
            found_early = [
                number(reader.recv()) for _ in range(len(before)) if select.select([fd], [], [], 0)[0]
            ]
        else:
            found_early = []
        for i in (1000, 1001, 1002, 1003):
            writer.send(i)
        writer.close()
        found = found_early + rest(reader, label)
        require(found[-4:] == [1000, 1001, 1002, 1003], f"{label}: later messages are lost: {found}")
        found = found[:-4]
        old = [i for i in found if i in before]
        new = [i for i in found if i not in before]
        taken = len(before) - len(old)
        require(old == before[taken:], f"{label}: {found} is not a tail of {before}")
        require(taken <= takes and (not ended or taken == takes), f"{label}: {taken} messages are gone")
        require(new == adds[: len(new)] and (not ended or new == adds), f"{label}: {new} of {adds} arrived")
        reader.close()
        del reader, writer
        left = used() - start
        require(left == 0, f"{label}: {left} bytes are not given back")
        wrong = core.check()
        require(wrong is None, f"{label}: {wrong}")
    SEEN[name] = k - 1
    print(name, k - 1, file=sys.stderr, flush=True)


def send(numbers: list[int]) -> Callable[[Any, Any], None]:
    def operation(reader: Any, writer: Any) -> None:
        for i in numbers:
            writer.send(item(i))

    return operation


def receive(count: int) -> Callable[[Any, Any], None]:
    def operation(reader: Any, writer: Any) -> None:
        for _ in range(count):
            reader.recv()

    return operation


def look(reader: Any, writer: Any) -> None:
    reader.poll(0.001)
    reader.poll(0.001)


def drop(reader: Any, writer: Any) -> None:
    one, other = Pipe()
    other.send(item(0))
    one.send(item(3))
    one.close()
    other.close()
    del one, other
    gc.collect()


LONG = bytes(range(256)) * (18 << 10)  # a stream of 18 pieces


def run_long(name: str, duplex: bool, kills_sender: bool) -> None:
    k = 1 - STRIDE
    ended = False
    while not ended:
        k += STRIDE
        start = used()
        reader, writer = Pipe(duplex)
        reader.poll(0.001)  # a reader that waits, as far as a sender can see
        pid = os.fork()
        if pid == 0:
            (reader if kills_sender else writer).close()
            core.fault_set(k)
            if kills_sender:
                writer.send_bytes(LONG)
            else:
                reader.recv_bytes()
            core.fault_set(0)
            os._exit(0)
        (writer if kills_sender else reader).close()
        result: Any = None
        try:
            result = reader.recv_bytes() if kills_sender else writer.send_bytes(LONG)
        except (EOFError, OSError) as error:
            result = type(error)
        code = reap(pid)
        ended = code == 0
        label = f"{name}, step {k}"
        require(ended or code == -signal.SIGKILL, f"{label}: exit code {code}")
        if kills_sender:
            require(
                result == LONG or (not ended and result in (EOFError, OSError)),
                f"{label}: {str(result)[:50]}",
            )
        else:
            require(result is None or (not ended and result is BrokenPipeError), f"{label}: {result}")
        reader.close()
        writer.close()
        del reader, writer
        left = used() - start
        require(left == 0, f"{label}: {left} bytes are not given back")
        wrong = core.check()
        require(wrong is None, f"{label}: {wrong}")
    SEEN[name] = k - 1
    print(name, k - 1, file=sys.stderr, flush=True)


def second_reader(reader: Any, results: int) -> None:
    """Stopped until the first one is dead; then it takes all that there is."""
    core.fault_set(0)
    os.kill(os.getpid(), signal.SIGSTOP)
    sizes = []
    try:
        while True:
            message = reader.recv_bytes()
            require(message == LONG[: len(message)], "a message is damaged")
            sizes.append(len(message))
    except EOFError:
        os.write(results, json.dumps(sizes).encode())
    os._exit(0)


def first_reader(reader: Any, k: int, forks: bool, told: int, results: int, go: int) -> None:
    """It takes one message, in a thread where it *forks* the second reader meanwhile, and dies at the k-th step."""

    def read() -> None:
        os._exit(0 if reader.recv_bytes() == LONG else 1)

    if forks:
        threading.Thread(target=read).start()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            second_reader(reader, results)
        os.close(results)
        os.write(told, pid.to_bytes(4, "little"))
        core.fault_set(k)
        os.write(go, b"g")
        signal.pause()
    os.close(results)
    core.fault_set(k)
    os.write(go, b"g")
    read()


def stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


def run_two_readers(name: str, duplex: bool, forks: bool) -> None:
    """The first reader of an end dies with a stream in its hands; the second one, perhaps its child, goes on."""
    k = 1 - STRIDE
    ended = False
    while not ended:
        k += STRIDE if k < 40 else 7 * STRIDE  # a piece is like the one before it
        label = f"{name}, step {k}"
        start = used()
        reader, writer = Pipe(duplex)
        told_in, told_out = os.pipe()
        go_in, go_out = os.pipe()
        results_in, results_out = os.pipe()
        second = 0
        if not forks:
            second = os.fork()
            if second == 0:
                writer.close()
                second_reader(reader, results_out)
        first = os.fork()
        if first == 0:
            writer.close()
            first_reader(reader, k, forks, told_out, results_out, go_out)
        for fd in (told_out, results_out, go_out):
            os.close(fd)
        reader.close()
        os.read(go_in, 1)
        other = second or int.from_bytes(os.read(told_in, 4), "little")
        while not stopped(other):
            time.sleep(0.0005)
        codes: list[int] = []

        def go_on(first: int = first, other: int = other, codes: list[int] = codes) -> None:
            codes.append(reap(first))
            os.kill(other, signal.SIGCONT)

        watcher = threading.Thread(target=go_on)
        watcher.start()
        writer.send_bytes(LONG)
        writer.send_bytes(LONG[:5])
        writer.close()
        watcher.join()
        with open(results_in, "rb") as file:
            sizes = json.loads(file.read() or b"null")
        if second:
            reap(second)
        os.close(told_in)
        os.close(go_in)
        ended = codes == [0]
        require(ended or codes == [-signal.SIGKILL], f"{label}: exit code {codes}")
        require(sizes == [5] or (not ended and sizes == [len(LONG), 5]), f"{label}: {sizes}")
        del reader, writer
        begun = time.monotonic()
        while used() != start:
            require(
                time.monotonic() - begun < PATIENCE, f"{label}: {used() - start} bytes are not given back"
            )
            time.sleep(0.001)
        require(core.check() is None, f"{label}: {core.check()}")
    SEEN[name] = k - 1
    print(name, k - 1, file=sys.stderr, flush=True)


core.ensure()
for duplex in (True, False):
    for i in range(4):
        warm_reader, warm_writer = Pipe(duplex)
        warm_writer.send(item(i))
        warm_reader.recv()
        warm_reader.close()
        warm_writer.close()
        del warm_reader, warm_writer
    way = "duplex" if duplex else "simplex"
    run(f"{way}: send", duplex, [], send([4, 5, 6, 7]), [4, 5, 6, 7], 0)
    run(f"{way}: send to one asleep", duplex, [], send([4, 5]), [4, 5], 0, asleep=True)
    run(f"{way}: receive", duplex, [4, 5, 6, 7], receive(4), [], 4)
    run(f"{way}: wait", duplex, [], look, [], 0)
    run(f"{way}: writer asks for the descriptor", duplex, [4, 5], lambda r, w: w.fileno(), [], 0, asleep=True)
    run(f"{way}: reader asks for the descriptor", duplex, [4, 5], lambda r, w: r.fileno(), [], 0, asleep=True)
    run(
        f"{way}: the survivor asks",
        duplex,
        [4, 5],
        lambda r, w: w.fileno(),
        [],
        0,
        asleep=True,
        descriptor=True,
    )
    run(f"{way}: close", duplex, [4], lambda r, w: (r.close(), w.close()), [], 0)
    run_long(f"{way}: the sender of a stream", duplex, True)
    run_long(f"{way}: the receiver of a stream", duplex, False)
    kind = "a reader of a stream that has forked" if duplex else "one of two readers of a stream"
    run_two_readers(f"{way}: {kind}", duplex, duplex)
run("make and drop", False, [], drop, [], 0)
print(json.dumps(SEEN))
