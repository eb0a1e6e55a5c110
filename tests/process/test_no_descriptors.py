"""Starts with too few descriptors: an OSError, nothing that runs, nothing that stays; or they succeed."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.faults, pytest.mark.linux_only, pytest.mark.timeout(200)]

FEW = """
import errno, os, resource, sys
import procession_process as pp

def work():
    os.write(os.open("ran", os.O_WRONLY | os.O_CREAT | os.O_APPEND), b"x")

def state():
    listing = sorted(os.listdir("/proc/self/fd"), key=int)
    zombies = []
    for thread in os.listdir("/proc/self/task"):
        for pid in open(f"/proc/self/task/{thread}/children").read().split():
            zombies += [pid] * (open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z")
    return listing, zombies, pp.active_children()

def start(daemon):
    process = pp.Process(target=work, daemon=daemon)
    process.start()
    process.join()
    process.close()

if __name__ == "__main__":
    pp.set_start_method(sys.argv[1])
    daemon = sys.argv[2] == "daemon"
    start(daemon)  # what stays for good is made
    before, limits = state(), resource.getrlimit(resource.RLIMIT_NOFILE)
    started = 1
    for free in range(8):
        hogs = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before[0])) + free + 3, limits[1]))
        try:
            while True:
                hogs.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        for _ in range(free):
            os.close(hogs.pop())
        failed = None
        try:
            start(daemon)
        except OSError as error:
            failed = error.errno
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in hogs:
            os.close(fd)
        started += failed is None
        print(free, failed == errno.EMFILE if failed else "started", state() == before)
        start(daemon)
        started += 1
    print(os.path.getsize("ran") == started)
"""


@pytest.mark.parametrize("kind", ["plain", "daemon"])
def test_descriptors_of_the_parent_run_out(start_method, kind, tmp_path):
    (tmp_path / "few.py").write_text(FEW)
    command = [sys.executable, "few.py", start_method, kind]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=190)
    lines = done.stdout.splitlines()
    assert lines[0] == "0 True True" and lines[-2] == "7 started True" and lines[-1] == "True", (
        done.stdout + done.stderr
    )
    for line in lines[1:-2]:
        assert line.endswith((" True True", " started True")), done.stdout + done.stderr
    assert done.stderr == ""


OF_THE_SERVER = """
import errno, os, resource, sys, time
import procession_process as pp

def wait():
    time.sleep(1000)

if __name__ == "__main__":
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, limits[1]))
    first = pp.ForkServerProcess(target=wait, daemon=True)
    first.start()  # the fork server keeps the limit
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    processes = [first]
    try:
        for _ in range(100):
            process = pp.ForkServerProcess(target=wait, daemon=True)
            process.start()
            processes.append(process)
    except OSError as error:
        print(error.errno == errno.EMFILE, len(processes) > 5, all(process.is_alive() for process in processes))
    print(process.exitcode, process in pp.active_children())
    for process in processes:
        process.kill()
        process.join()
    print({process.exitcode for process in processes})
    process = pp.ForkServerProcess(target=print, args=("again",))
    process.start()
    process.join()
    print(process.exitcode)
"""


def test_descriptors_of_the_fork_server_run_out(tmp_path):
    """It says so and goes on; a child is not begun without what was sent to it."""
    (tmp_path / "server.py").write_text(OF_THE_SERVER)
    done = subprocess.run(
        [sys.executable, "server.py"], cwd=tmp_path, capture_output=True, text=True, timeout=190
    )
    assert done.stdout == "True True True\nNone False\n{-9}\nagain\n0\n", done.stdout + done.stderr
    assert done.stderr == ""


BEGUN_IN_VAIN = """
import os, resource
import procession_process as pp
from procession_native import core

def attempt():
    process = pp.ForkServerProcess(target=int)
    process.start()
    process.join()
    process.close()

if __name__ == "__main__":
    warm = pp.ForkProcess(target=int)
    warm.start()
    warm.join()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = max(map(int, os.listdir("/proc/self/fd")))
    for few in range(4):
        resource.setrlimit(resource.RLIMIT_NOFILE, (top + few, limits[1]))
        try:
            attempt()
        except OSError:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            print([entry["name"] for entry in core.processes()])
    attempt()
"""


@pytest.mark.native_only
def test_a_fork_server_that_cannot_begin_keeps_no_slot(tmp_path):
    (tmp_path / "vain.py").write_text(BEGUN_IN_VAIN)
    done = subprocess.run(
        [sys.executable, "vain.py"], cwd=tmp_path, capture_output=True, text=True, timeout=190
    )
    assert done.stdout == "['MainProcess']\n" * 4, done.stdout + done.stderr
    assert done.stderr == ""


SEVERAL = """
import errno, os, resource, time
import procession_process as pp
from procession_process._many import start_all

def wait():
    time.sleep(1000)

if __name__ == "__main__":
    warm = pp.ForkProcess(target=int)
    warm.start()
    warm.join()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    top = max(map(int, os.listdir("/proc/self/fd")))
    for few in range(1, 6):
        resource.setrlimit(resource.RLIMIT_NOFILE, (top + few, limits[1]))
        failed = False
        processes = [pp.ForkProcess(target=wait) for _ in range(8)]
        try:
            start_all(processes)
        except OSError as error:
            failed = error.errno == errno.EMFILE
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        with open("/proc/self/task/%d/children" % os.getpid()) as children:
            alive = len(children.read().split())
        started = [process for process in processes if process.pid is not None]
        print(failed, alive == len(started) == len(pp.active_children()), flush=True)
        for process in started:
            process.kill()
            process.join()
            process.close()
    os._exit(0)  # without joining what is not known
"""


def test_descriptors_run_out_amid_several_starts(tmp_path):
    """None begins for which there is no room; what runs is known."""
    (tmp_path / "several.py").write_text(SEVERAL)
    done = subprocess.run(
        [sys.executable, "several.py"], cwd=tmp_path, capture_output=True, text=True, timeout=190
    )
    assert done.stdout == "True True\n" * 5, done.stdout + done.stderr
