"""start_all()."""

from __future__ import annotations

import os
import sys

import pytest

import procession_process as pp
from procession_core import ProcessStateError


def leave(code):
    sys.exit(code)


class Own(pp.Process):
    def run(self):
        sys.exit(9)


class Unpicklable:
    def __reduce__(self):
        raise TypeError("it stays here")


def test_all_are_started(method, leak_check):
    warm = pp.Process(target=leave, args=(0,), daemon=True)
    warm.start()
    warm.join()
    warm.close()
    leak_check.rebase()
    pp.start_all([])
    processes = [pp.Process(target=leave, args=(code,), daemon=code % 2 == 0) for code in range(1, 6)]
    processes.append(Own())
    pp.start_all(processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [1, 2, 3, 4, 5, 9]
    for process in processes:
        process.close()


def test_what_cannot_be_started(method):
    """Those before it may run; it and those behind it do not."""
    first, again = pp.Process(target=leave, args=(3,)), pp.Process(target=leave, args=(4,))
    again.start()
    again.join(60)
    for wrong in ([again], [first, again], [again, again]):
        last = pp.Process(target=leave, args=(5,))
        with pytest.raises(ProcessStateError, match="cannot start a process twice"):
            pp.start_all([*wrong, last])
        assert last.pid is None
        for process in pp.active_children():
            process.join(60)
        first = pp.Process(target=leave, args=(3,))
    twice = pp.Process(target=leave, args=(6,))
    with pytest.raises(ProcessStateError, match="cannot start a process twice"):
        pp.start_all([twice, twice])
    twice.join(60)
    assert twice.exitcode == 6
    if method != "fork":
        last = pp.Process(target=leave, args=(5,))
        with pytest.raises(TypeError, match="it stays here"):
            pp.start_all([pp.Process(target=leave, args=(Unpicklable(),)), last])
        assert last.pid is None


@pytest.mark.linux_only
def test_forked_children_know_which_they_are():
    reads, writes = os.pipe()
    processes = [pp.ForkProcess(target=os.write, args=(writes, b"%d," % n), name=f"n{n}") for n in range(8)]
    pp.start_all(processes)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert sorted(os.read(reads, 1000).split(b",")) == [b"", *[b"%d" % n for n in range(8)]]
    os.close(reads)
    os.close(writes)
