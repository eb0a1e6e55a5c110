"""connection.*: Listener and Client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench._crew import Crew
from bench._load import submodule
from bench._measure import Sample, Scale, case, check, per_call, rate

if TYPE_CHECKING:
    from collections.abc import Callable

_KEY = b"a secret of the benchmark"


def _listener(mp: Any, family: str, authkey: bytes | None) -> Any:
    address = ("127.0.0.1", 0) if family == "AF_INET" else None
    return submodule(mp, "connection").Listener(address, family, backlog=64, authkey=authkey)


def _serve(listener: Any, n: int) -> int:
    total = 0
    for _ in range(n):
        connection = listener.accept()
        total += connection.recv()
        connection.close()
    return total


def _accept(mp: Any, scale: Scale, family: str, authkey: bytes | None) -> Sample:
    client: Callable[..., Any] = submodule(mp, "connection").Client

    def run(n: int) -> float:
        listener = _listener(mp, family, authkey)
        with Crew(mp) as crew:
            crew.add(_serve, listener, n)
            began = crew.go()
            for index in range(n):
                connection = client(listener.address, family, authkey=authkey)
                connection.send(index)
                connection.close()
            check(crew.results() == [n * (n - 1) // 2], "messages were lost")
            seconds = crew.ended - began
        listener.close()
        return seconds

    # Capped: a closed TCP connection keeps its port for a minute.
    return Sample(rate(run, 50, scale, cap=5000), "conn/s")


@case("connection.accept.unix")
def accept_unix(mp: Any, scale: Scale) -> Sample:
    """AF_UNIX: connect, authenticate, one message."""
    return _accept(mp, scale, "AF_UNIX", _KEY)


@case("connection.accept.inet")
def accept_inet(mp: Any, scale: Scale) -> Sample:
    """AF_INET: connect, authenticate, one message."""
    return _accept(mp, scale, "AF_INET", _KEY)


@case("connection.accept.noauth")
def accept_noauth(mp: Any, scale: Scale) -> Sample:
    """AF_UNIX without an authkey."""
    return _accept(mp, scale, "AF_UNIX", None)


def _echo(listener: Any) -> int:
    connection = listener.accept()
    count = 0
    while (item := connection.recv()) is not None:
        connection.send(item)
        count += 1
    connection.close()
    return count


def _round_trip(mp: Any, scale: Scale, family: str) -> Sample:
    client = submodule(mp, "connection").Client
    listener = _listener(mp, family, _KEY)
    item = ("key", 1, 2.5)
    with Crew(mp) as crew:
        crew.add(_echo, listener)
        crew.go()
        connection = client(listener.address, family, authkey=_KEY)

        def loop(n: int) -> None:
            for _ in range(n):
                connection.send(item)
                answer = connection.recv()
            check(answer == item, f"came back as {answer!r}")

        seconds = per_call(loop, scale)
        connection.send(None)
        check(crew.results()[0] > 0, "nothing was echoed")
    connection.close()
    listener.close()
    return Sample(seconds * 1e6, "us")


@case("connection.rtt.unix")
def rtt_unix(mp: Any, scale: Scale) -> Sample:
    """AF_UNIX: a small tuple there and back."""
    return _round_trip(mp, scale, "AF_UNIX")


@case("connection.rtt.inet")
def rtt_inet(mp: Any, scale: Scale) -> Sample:
    """AF_INET: a small tuple there and back."""
    return _round_trip(mp, scale, "AF_INET")
