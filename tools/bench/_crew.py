"""Processes that start their work together and report to the parent through plain pipes.

Nothing of the implementation under test is used for the gate and the reports, so that only its
``Process`` and the object under measurement take part.
"""

from __future__ import annotations

import json
import os
import select
from time import perf_counter

from ._measure import WrongResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any


class Crew:
    """A few forked processes behind one gate.

    ``add`` says what a member does; ``go`` starts all, waits until each is up, opens the gate and
    returns the time of that; ``results`` waits for all and returns what they returned. The members are
    started with ``mp.Process`` and are children by fork, so that any callable will do.
    """

    def __init__(self, mp: Any) -> None:
        self._mp = mp
        self._gate = os.pipe()
        self._reports = os.pipe()
        self._members: list[Any] = []
        self._buffer = b""
        self.ended = 0.0

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in (*self._gate, *self._reports):
            os.close(fd)

    def add(self, function: Callable[..., Any], *args: Any) -> None:
        """One more member, which calls ``function(*args)`` once the gate is open."""
        index = len(self._members)
        process = self._mp.Process(target=self._member, args=(index, function, args))
        self._members.append(process)

    def go(self) -> float:
        """Start all members, open the gate and return the time at which it was opened."""
        for process in self._members:
            process.start()
        for _ in self._members:
            self._report()
        began = perf_counter()
        os.write(self._gate[1], b"x" * len(self._members))
        return began

    def results(self) -> list[Any]:
        """What each member returned, once all have; ``ended`` is then when the last one was done.

        Raises:
            WrongResult: if a member raised or did not exit with 0.
        """
        values: list[Any] = [None] * len(self._members)
        for _ in self._members:
            report = self._report()
            if "error" in report:
                raise WrongResult(f"member {report['index']}: {report['error']}")
            values[report["index"]] = report["value"]
            self.ended = max(self.ended, report["ended"])
        for process in self._members:
            process.join()
            if process.exitcode != 0:
                raise WrongResult(f"{process.name} exited with {process.exitcode}")
        return values

    def run(self) -> tuple[float, list[Any]]:
        """``go`` and ``results``: the seconds from the gate to the last member's end, and the values."""
        began = self.go()
        values = self.results()
        return self.ended - began, values

    def _report(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            if select.select([self._reports[0]], [], [], 0.5)[0]:
                self._buffer += os.read(self._reports[0], 65536)
                continue
            for process in self._members:
                if process.exitcode not in (None, 0):
                    raise WrongResult(f"{process.name} ended with {process.exitcode} and without a report")
        line, _, self._buffer = self._buffer.partition(b"\n")
        report: dict[str, Any] = json.loads(line)
        return report

    def _member(self, index: int, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._send({"index": index})
        os.read(self._gate[0], 1)
        try:
            value = function(*args)
        except BaseException as error:
            self._send({"index": index, "error": repr(error)[:1000]})
            raise
        self._send({"index": index, "ended": perf_counter(), "value": value})

    def _send(self, report: dict[str, Any]) -> None:
        # Below PIPE_BUF, so that the lines of several members never mix.
        os.write(self._reports[1], json.dumps(report).encode() + b"\n")
