"""Many processes: at once, and one after another."""

from __future__ import annotations

import os

import pytest

import procession_process as pp

from .many_children import Sent, nothing, wait_by_connection, wait_for_end

KINDS = {"fork": pp.ForkProcess, "spawn": pp.SpawnProcess, "forkserver": pp.ForkServerProcess}


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.timeout(900)
def test_many_alive_at_once(start_method, request, leak_check):
    number = 60 if request.config.getoption("--sample") else 500
    reads, writes = os.pipe()
    kind = KINDS[start_method]
    warm = kind(target=nothing)
    warm.start()
    warm.join()
    warm.close()
    leak_check.rebase()
    if start_method == "fork":
        processes = [kind(target=wait_for_end, args=(reads, writes)) for _ in range(number)]
    else:
        processes = [kind(target=wait_by_connection, args=(Sent(reads),)) for _ in range(number)]
    try:
        for process in processes:
            process.start()
        assert len({process.pid for process in processes}) == number
        assert len(pp.active_children()) >= number
        assert all(process.is_alive() for process in processes)
    finally:
        os.close(writes)
        for process in processes:
            if process.pid is not None:
                process.join(300)
    assert {process.exitcode for process in processes} == {0}
    for process in processes:
        process.close()
    os.close(reads)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.stress
@pytest.mark.linux_only
@pytest.mark.timeout(3600)
def test_thousands_in_sequence(start_method, request):
    number = 200 if request.config.getoption("--sample") else 5000
    kind = KINDS[start_method]

    def once():
        process = kind(target=nothing)
        process.start()
        process.join(120)
        assert process.exitcode == 0

    for _ in range(100):
        once()
    descriptors, memory = os.listdir("/proc/self/fd"), resident()
    for _ in range(number):
        once()
    assert os.listdir("/proc/self/fd") == descriptors
    assert resident() - memory < 4 << 20
    assert pp.active_children() == []
