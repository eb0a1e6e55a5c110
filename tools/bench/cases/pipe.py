"""pipe.*: connections between two processes."""

from __future__ import annotations

from typing import Any

from bench._crew import Crew
from bench._load import submodule
from bench._measure import Sample, Scale, case, check, per_call, rate


def _echo(connection: Any) -> int:
    count = 0
    while (item := connection.recv()) is not None:
        connection.send(item)
        count += 1
    return count


def _echo_bytes(connection: Any) -> int:
    count = 0
    while item := connection.recv_bytes():
        connection.send_bytes(item)
        count += 1
    connection.send_bytes(b"end")
    return count


@case("pipe.rtt.obj")
def rtt_obj(mp: Any, scale: Scale) -> Sample:
    """A small tuple there and back."""
    here, there = mp.Pipe()
    item = ("key", 1, 2.5)
    with Crew(mp) as crew:
        crew.add(_echo, there)
        crew.go()

        def loop(n: int) -> None:
            for _ in range(n):
                here.send(item)
                answer = here.recv()
            check(answer == item, f"came back as {answer!r}")

        seconds = per_call(loop, scale)
        here.send(None)
        check(crew.results()[0] > 0, "nothing was echoed")
    return Sample(seconds * 1e6, "us")


@case("pipe.rtt.bytes64")
def rtt_bytes(mp: Any, scale: Scale) -> Sample:
    """64 bytes there and back."""
    here, there = mp.Pipe()
    item = bytes(range(64))
    with Crew(mp) as crew:
        crew.add(_echo_bytes, there)
        crew.go()

        def loop(n: int) -> None:
            for _ in range(n):
                here.send_bytes(item)
                answer = here.recv_bytes()
            check(answer == item, f"came back as {answer!r}")

        seconds = per_call(loop, scale)
        here.send_bytes(b"")
        check(here.recv_bytes() == b"end", "the other side did not end")
        check(crew.results()[0] > 0, "nothing was echoed")
    return Sample(seconds * 1e6, "us")


def _drain_bytes(connection: Any, n: int, size: int) -> list[int]:
    total = 0
    marks = 0
    for _ in range(n):
        item = connection.recv_bytes()
        total += len(item)
        marks += item[0] + item[-1]
    return [total, marks]


def _throughput(mp: Any, scale: Scale, size: int, duplex: bool, start: int) -> Sample:
    payload = b"\x03" + bytes(size - 2) + b"\x04"

    def run(n: int) -> float:
        if duplex:
            writer, reader = mp.Pipe()
        else:
            reader, writer = mp.Pipe(duplex=False)
        with Crew(mp) as crew:
            crew.add(_drain_bytes, reader, n, size)
            began = crew.go()
            for _ in range(n):
                writer.send_bytes(payload)
            total, marks = crew.results()[0]
            check([total, marks] == [n * size, 7 * n], f"{n} messages arrived as {total} bytes, {marks}")
            seconds = crew.ended - began
        reader.close()
        writer.close()
        return seconds

    return Sample(rate(run, start, scale) * size / 1e6, "MB/s")


@case("pipe.tput.1K")
def tput_1k(mp: Any, scale: Scale) -> Sample:
    """1 KB messages through Pipe()."""
    return _throughput(mp, scale, 1 << 10, True, 5000)


@case("pipe.simplex.1K")
def simplex_1k(mp: Any, scale: Scale) -> Sample:
    """1 KB messages through Pipe(duplex=False)."""
    return _throughput(mp, scale, 1 << 10, False, 5000)


@case("pipe.tput.64K")
def tput_64k(mp: Any, scale: Scale) -> Sample:
    """64 KB messages through Pipe()."""
    return _throughput(mp, scale, 1 << 16, True, 1000)


@case("pipe.tput.1M")
def tput_1m(mp: Any, scale: Scale) -> Sample:
    """1 MB messages through Pipe()."""
    return _throughput(mp, scale, 1 << 20, True, 50)


@case("pipe.simplex.1M")
def simplex_1m(mp: Any, scale: Scale) -> Sample:
    """1 MB messages through Pipe(duplex=False)."""
    return _throughput(mp, scale, 1 << 20, False, 50)


@case("pipe.tput.64M")
def tput_64m(mp: Any, scale: Scale) -> Sample:
    """64 MB messages through Pipe()."""
    return _throughput(mp, scale, 1 << 26, True, scale.pick(4, 2))


def _drain_arrays(connection: Any, n: int) -> list[float]:
    total = 0.0
    count = 0
    for _ in range(n):
        array = connection.recv()
        total += float(array[0] + array[array.size // 2] + array[-1])
        count += array.size
    return [total, count]


def _arrays(mp: Any, scale: Scale, size: int, start: int) -> Sample:
    import numpy

    array = numpy.arange(size // 8, dtype="float64")
    mark = float(array[0] + array[array.size // 2] + array[-1])

    def run(n: int) -> float:
        writer, reader = mp.Pipe()
        with Crew(mp) as crew:
            crew.add(_drain_arrays, reader, n)
            began = crew.go()
            for _ in range(n):
                writer.send(array)
            total, count = crew.results()[0]
            check(count == n * array.size and total == n * mark, "the arrays arrived otherwise than sent")
            seconds = crew.ended - began
        reader.close()
        writer.close()
        return seconds

    return Sample(rate(run, start, scale) * size / 1e6, "MB/s")


@case("pipe.numpy.64K")
def numpy_64k(mp: Any, scale: Scale) -> Sample:
    """64 KB float64 arrays by send and recv."""
    return _arrays(mp, scale, 1 << 16, 500)


@case("pipe.numpy.64M")
def numpy_64m(mp: Any, scale: Scale) -> Sample:
    """64 MB float64 arrays by send and recv."""
    return _arrays(mp, scale, 1 << 26, scale.pick(4, 2))


@case("pipe.poll")
def poll(mp: Any, scale: Scale) -> Sample:
    """poll() with data waiting."""
    here, there = mp.Pipe()
    there.send_bytes(b"x")

    def loop(n: int) -> None:
        poll = here.poll
        hits = 0
        for _ in range(n):
            hits += poll()
        check(hits == n, f"{hits} of {n} polls saw the data")

    sample = Sample(per_call(loop, scale) * 1e6, "us")
    check(here.recv_bytes() == b"x", "the data was lost")
    check(not here.poll(), "data where none was sent")
    return sample


@case("pipe.wait16")
def wait(mp: Any, scale: Scale) -> Sample:
    """connection.wait() on 16 connections of which one is ready."""
    wait = submodule(mp, "connection").wait
    pairs = [mp.Pipe(duplex=False) for _ in range(16)]
    readers = [reader for reader, _ in pairs]
    pairs[9][1].send_bytes(b"x")

    def loop(n: int) -> None:
        for _ in range(n):
            ready = wait(readers)
            if ready != [readers[9]]:
                check(False, f"ready are {ready!r}")

    return Sample(per_call(loop, scale) * 1e6, "us")
