"""Who a child is: of the start methods in each other, and beside the rehearsal of what only children run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from procession_core import runtime
from procession_process import (
    ForkProcess,
    ForkServerProcess,
    SpawnProcess,
    get_all_start_methods,
    parent_process,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")

KINDS = {"fork": ForkProcess, "spawn": SpawnProcess, "forkserver": ForkServerProcess}

FIRST_FORK = """
import atexit
import procession_process as pp
def noop(): pass
before = atexit._ncallbacks()
seen = []
for _ in range(3):
    process = pp.ForkProcess(target=noop)
    process.start()
    process.join()
    method = pp.get_start_method(allow_none=True)
    seen.append((pp.current_process().name, pp.parent_process(), method, process.exitcode))
    seen.append((len(pp.active_children()), atexit._ncallbacks() - before))
print(sorted(map(repr, set(seen))))
"""


BESIDE_THREADS = """
import os, sys, threading
import procession_process as pp

def nested():
    process = pp.ForkServerProcess(target=os.getpid)
    process.start()
    process.join()
    sys.exit(process.exitcode)

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name.endswith("_launch._forkserver") and not loading.is_set():
            loading.set()
            may_load.wait()

loading, may_load = threading.Event(), threading.Event()
sys.meta_path.insert(0, Slow())

if __name__ == "__main__":
    pp.ForkProcess(target=os.getpid).start()
    other = pp.ForkServerProcess(target=os.getpid)
    thread = threading.Thread(target=other.start)
    thread.start()
    loading.wait()
    # Comes late enough for a fork that does not wait.
    threading.Timer(0.5, may_load.set).start()
    process = pp.ForkProcess(target=nested)
    process.start()
    process.join(30)
    print(process.exitcode)
    process.kill()
    thread.join()
    other.join()
"""


@pytest.mark.skipif("forkserver" not in get_all_start_methods(), reason="needs the fork server")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_waits_for_a_launcher_that_another_thread_loads() -> None:
    done = subprocess.run([sys.executable, "-c", BESIDE_THREADS], capture_output=True, text=True, timeout=90)
    assert done.stdout == "0\n", done.stderr


@pytest.mark.parametrize("second", get_all_start_methods())
@pytest.mark.parametrize("first", get_all_start_methods())
def test_each_child_knows_how_it_was_started(first: str, second: str, tmp_path: object) -> None:
    """Also where the process that started it was started otherwise."""
    path = f"{tmp_path}/told"
    process = KINDS[first](target=chain_to, args=(path, [second, "fork"]))
    process.start()
    process.join()
    with open(path, encoding="utf-8") as file:
        told = file.read().splitlines()
    direct = [first != "forkserver", second != "forkserver", True]
    assert told == [
        *(
            repr((kind, kind, True, is_child))
            for kind, is_child in zip((first, second, "fork"), direct, strict=True)
        ),
        "0",
        "0",
    ]
    assert process.exitcode == 0


def chain_to(path: str, kinds: list[str]) -> None:
    tell(path)
    if kinds:
        process = KINDS[kinds[0]](target=chain_to, args=(path, kinds[1:]))
        process.start()
        process.join()
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{process.exitcode}\n")


def tell(path: str) -> None:
    parent = parent_process()
    is_child = parent is not None and parent.pid == os.getppid()
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{(runtime.start_method, runtime.default_method, runtime.is_child, is_child)!r}\n")


def test_the_first_fork_leaves_the_parent_as_it_was() -> None:
    """What its children will run is rehearsed there."""
    run = subprocess.run(
        [sys.executable, "-c", FIRST_FORK], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.stdout == """["('MainProcess', None, None, 0)", '(0, 1)']\n""", run
