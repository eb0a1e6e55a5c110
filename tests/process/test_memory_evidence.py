"""Whether the kernel was out of memory, told from its counters: files in the kernel's formats, written here.

Real kills, in control groups of their own: tests/integration/test_memory_groups.py.
"""

from __future__ import annotations

import os
import signal

import pytest

import procession_process as pp
from procession_process import _death

pytestmark = pytest.mark.linux_only


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def exit_by_itself():
    raise SystemExit(3)


FORMATS = {
    "cgroup 2": ("memory.events", "low 0\nhigh 3\nmax 17\noom {n}\noom_kill {n}\noom_group_kill 0\n"),
    "cgroup 1": ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {n}\n"),
    "machine": ("vmstat", "nr_free_pages 11\noom_kill {n}\nthp_fault_alloc 5\n"),
}


@pytest.fixture(params=FORMATS)
def counter(request, tmp_path, monkeypatch):
    """Let the library watch a file; return what sets its count."""
    name, text = FORMATS[request.param]
    path = tmp_path / name

    def count(number):
        path.write_text(text.format(n=number))

    count(4)
    monkeypatch.setattr(
        _death, "_memory_files", lambda: [(str(tmp_path / "absent"), "oom_kill "), (str(path), "oom_kill ")]
    )
    monkeypatch.setattr(_death, "_counter", None)
    monkeypatch.setattr(_death, "_last", None)
    return count


def ended(process):
    process.join(30)
    death = process.death
    process.close()
    return death


def test_a_kill_that_was_counted(counter):
    process = pp.ForkProcess(target=kill_self)
    process.start()
    counter(5)
    death = ended(process)
    assert death.out_of_memory is True
    assert str(death) == "killed by SIGKILL (the kernel was out of memory)"
    process = pp.ForkProcess(target=kill_self)  # the count is used up
    process.start()
    assert ended(process).out_of_memory is False


def test_several_that_are_noticed_one_after_the_other(counter):
    processes = [pp.ForkProcess(target=signal.pause) for _ in range(3)]
    for process in processes:
        process.start()
    counter(6)
    for process in processes:
        process.kill()
    assert [ended(process).out_of_memory for process in processes] == [True, True, False]


def test_a_count_beyond_is_not_kept_for_long(counter, monkeypatch):
    monkeypatch.setattr(_death, "_SPARE_SECONDS", 0.0)
    processes = [pp.ForkProcess(target=signal.pause) for _ in range(2)]
    for process in processes:
        process.start()
    counter(6)
    for process in processes:
        process.kill()
    assert [ended(process).out_of_memory for process in processes] == [True, False]


def test_a_kill_by_somebody(counter):
    process = pp.ForkProcess(target=kill_self)
    process.start()
    death = ended(process)
    assert death.out_of_memory is False and str(death) == "killed by SIGKILL"


def test_only_a_kill_can_be_one(counter):
    process = pp.ForkProcess(target=exit_by_itself)
    process.start()
    counter(5)
    assert ended(process).out_of_memory is None


def test_a_counter_that_disappears(counter, tmp_path):
    process = pp.ForkProcess(target=kill_self)
    process.start()
    for file in tmp_path.iterdir():
        file.unlink()
    assert ended(process).out_of_memory is None


def test_no_counter(monkeypatch):
    monkeypatch.setattr(_death, "_memory_files", list)
    monkeypatch.setattr(_death, "_counter", None)
    monkeypatch.setattr(_death, "_last", None)
    process = pp.ForkProcess(target=kill_self)
    process.start()
    assert ended(process).out_of_memory is None
