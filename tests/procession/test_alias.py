"""``multiprocessing`` as an alias: one copy of each module, in every process that is launched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def python(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, **options)


MODULES = """
import sys
import multiprocessing, multiprocessing.pool, multiprocessing.connection
from multiprocessing import synchronize
import procession, procession.pool, procession.synchronize
assert multiprocessing is procession
assert sys.modules["multiprocessing.pool"] is procession.pool is multiprocessing.pool
assert synchronize is procession.synchronize
assert procession.pool.__spec__.name == "procession.pool", procession.pool.__spec__
assert procession.__spec__.name == "procession"
import importlib
assert importlib.import_module("multiprocessing.queues") is procession.queues
try:
    import multiprocessing.nonsense
except ModuleNotFoundError as error:
    assert error.name == "multiprocessing.nonsense"
else:
    raise SystemExit("imported nonsense")
import concurrent.futures
assert concurrent.futures.ProcessPoolExecutor.__init__.__globals__["mp"] is procession
"""


def test_one_copy_of_every_module() -> None:
    done = python("-m", "procession", "-c", MODULES)
    assert done.returncode == 0, done.stderr


def test_alias_is_no_program() -> None:
    end = "'multiprocessing' is a package and cannot be directly executed\n"
    done = python("-m", "procession", "-m", "multiprocessing")
    assert done.returncode == 1 and done.stderr.endswith(f"No module named multiprocessing.__main__; {end}")
    code = "import multiprocessing.__main__, runpy; runpy.run_module('multiprocessing.process')"
    assert python("-m", "procession", "-c", code).returncode == 0
    code = "import runpy; runpy.run_module('multiprocessing')"
    done = python("-m", "procession", "-c", code)
    assert "\nImportError: " in done.stderr and done.stderr.endswith(end)


NAMED = """
import logging, multiprocessing as mp

def log():
    for _ in range(2):
        logging.getLogger("multiprocessing").warning("from %s", mp.current_process().name)
        assert logging.getLogger("multiprocessing") is mp.get_logger()
        assert mp.get_logger().name == "multiprocessing" == mp.util.LOGGER_NAME

if __name__ == "__main__":
    logging.getLogger("multiprocessing").setLevel(logging.ERROR)
    assert mp.get_logger().level == logging.ERROR
    mp.log_to_stderr(logging.WARNING)
    for method in ("fork", "spawn", "forkserver"):
        child = mp.get_context(method).Process(target=log, name=method)
        child.start()
        child.join()
        assert child.exitcode == 0
"""


def test_logger_is_found_under_the_name_of_the_alias(tmp_path: Path) -> None:
    script = tmp_path / "named.py"
    script.write_text(NAMED)
    done = python("-m", "procession", str(script))
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"[WARNING/{method}] from {method}" for method in ("fork", "spawn", "forkserver") for _ in range(2)
    ]


TREE = """
import sys
import multiprocessing as mp

def look(method, depth, queue):
    import multiprocessing.queues
    queue.put((multiprocessing.__name__, sys.modules["multiprocessing.queues"].__name__, depth))
    if depth:
        child = mp.get_context(method).Process(target=look, args=(method, depth - 1, queue))
        child.start()
        child.join()

if __name__ == "__main__":
    queue = mp.get_context(sys.argv[1]).Queue()
    look(sys.argv[1], 2, queue)
    for depth in (2, 1, 0):
        assert queue.get(timeout=30) == ("procession", "procession.queues", depth)
"""


@pytest.mark.parametrize("flags", [(), ("-I",), ("-E", "-S")], ids=["plain", "isolated", "no-site"])
def test_reaches_children_and_grandchildren(
    tmp_path: Path, start_method: str, flags: tuple[str, ...]
) -> None:
    script = tmp_path / "tree.py"
    if not flags:
        script.write_text(TREE)
        done = python("-m", "procession", str(script), start_method)
    else:
        # Without site-packages, or PYTHONPATH, the program itself must say where the package is.
        script.write_text(
            f"import sys\nsys.path[:] = {sys.path!r}\nimport procession\nprocession.install()\n{TREE}"
        )
        done = python(*flags, str(script), start_method)
    assert done.returncode == 0, done.stderr


def test_install_twice_is_one() -> None:
    code = "import procession, sys; procession.install(); n = len(sys.meta_path); procession.install()"
    done = python(
        "-c", code + "; assert len(sys.meta_path) == n; import multiprocessing as m; assert m is procession"
    )
    assert done.returncode == 0, done.stderr


def test_install_replaces_what_nobody_uses_yet() -> None:
    code = "import sys, multiprocessing.pool; del multiprocessing; import procession; procession.install()"
    done = python("-c", code + "; import multiprocessing.pool as p; assert p is procession.pool")
    assert done.returncode == 0, done.stderr


def test_install_too_late_names_the_users() -> None:
    code = "import concurrent.futures.process, procession; procession.install()"
    done = python("-c", code)
    assert done.returncode == 1
    assert "AlreadyInUseError" in done.stderr
    assert "concurrent.futures.process" in done.stderr


def test_programs_started_otherwise_keep_the_standard_library() -> None:
    inner = "import multiprocessing; print(multiprocessing.__name__)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    assert python("-m", "procession", "-c", code).stdout == "multiprocessing\n"


STOWAWAY = """
import multiprocessing as mp
from multiprocessing import spawn

class Stowaway:
    def __setstate__(self, state):
        import builtins
        builtins.aboard = state

original = spawn.get_preparation_data

def wrapped(name):
    data = original(name)
    stowaway = data["stowaway"] = Stowaway()
    stowaway.__dict__["seen"] = 1
    return data

def child(queue):
    import builtins
    queue.put(builtins.aboard)
"""


def test_wrapped_preparation_data_reaches_the_child(tmp_path: Path) -> None:
    (tmp_path / "stowaway.py").write_text(STOWAWAY)
    (tmp_path / "run.py").write_text(
        "import stowaway\nimport multiprocessing as mp\nfrom multiprocessing import spawn\n"
        "if __name__ == '__main__':\n"
        "    spawn.get_preparation_data = stowaway.wrapped\n"
        "    queue = mp.get_context('spawn').Queue()\n"
        "    process = mp.get_context('spawn').Process(target=stowaway.child, args=(queue,))\n"
        "    process.start()\n    print(queue.get(timeout=30))\n    process.join()\n"
    )
    done = python("-m", "procession", str(tmp_path / "run.py"))
    assert done.stdout == "{'seen': 1}\n", done.stderr


GUEST = """
import sys
sys.path.insert(0, sys.argv[1])
import loky.inner
import multiprocessing, procession
assert multiprocessing is procession is sys.modules["multiprocessing"]
assert loky.inner.multiprocessing.__name__ == "multiprocessing"
assert loky.inner.multiprocessing.queues.__name__ == "multiprocessing.queues"
assert loky.inner.Queue.__module__ == "multiprocessing.queues"
import neighbour
assert neighbour.multiprocessing is procession
from multiprocessing.queues import Queue
assert Queue is procession.queues.Queue
"""


def test_packages_that_replace_the_machinery_keep_the_original(tmp_path: Path) -> None:
    (tmp_path / "loky").mkdir()
    (tmp_path / "loky/__init__.py").write_text("import multiprocessing as mp, neighbour\n")
    (tmp_path / "loky/inner.py").write_text(
        "import multiprocessing\nfrom multiprocessing.queues import Queue\n"
    )
    (tmp_path / "neighbour.py").write_text("import multiprocessing\n")
    done = python("-m", "procession", "-c", GUEST, str(tmp_path))
    assert done.returncode == 0, done.stderr


STOPPED = """
import multiprocessing.forkserver as fs
import multiprocessing as mp

if __name__ == "__main__":
    mp.set_start_method("forkserver")
    pids = set()
    for _ in range(2):
        fs.ensure_running()
        pids.add(fs._forkserver._forkserver_pid)
        fs._forkserver._stop()
        fs._forkserver._stop()
        child = mp.Process(target=print, args=("ran",))
        child.start()
        child.join()
    assert len(pids) == 2
"""


def test_fork_server_can_be_stopped_as_programs_do(tmp_path: Path) -> None:
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED)
    done = python("-m", "procession", str(script))
    assert done.returncode == 0 and done.stdout.split() == ["ran", "ran"], done.stderr
