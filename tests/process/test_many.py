"""Several children started at once."""

from __future__ import annotations

import pytest

import procession_process
from procession_core import ProcessStateError
from procession_process import start_all

KINDS = {"fork": "ForkProcess", "spawn": "SpawnProcess", "forkserver": "ForkServerProcess"}


def leave_with(code: int) -> None:
    raise SystemExit(code)


def test_all_are_started(start_method: str) -> None:
    kind = getattr(procession_process, KINDS[start_method])
    processes = [kind(target=leave_with, args=(code,)) for code in range(4)]
    start_all(processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 1, 2, 3]
    assert len({process.pid for process in processes}) == 4
    for process in processes:
        process.close()


def test_none_is_started_twice(start_method: str) -> None:
    kind = getattr(procession_process, KINDS[start_method])
    first, second = kind(target=leave_with, args=(3,)), kind(target=leave_with, args=(4,))
    first.start()
    with pytest.raises(ProcessStateError, match="cannot start a process twice"):
        start_all([first, second])
    first.join(60)
    assert first.exitcode == 3
    assert second.pid is None


def test_subclasses_start_in_their_own_way() -> None:
    began = []

    class Noting(procession_process.ForkProcess):
        def start(self) -> None:
            began.append(self.name)
            super().start()

    processes = [Noting(target=leave_with, args=(5,), name=name) for name in "ab"]
    start_all(processes)
    for process in processes:
        process.join(60)
    assert began == ["a", "b"]
    assert [process.exitcode for process in processes] == [5, 5]
