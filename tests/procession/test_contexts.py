"""Contexts: the whole API for each start method, and the default one."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import procession
import procession_pool
from procession._base_context import BaseContext
from procession._contexts import DefaultContext, default_context

METHODS = {"fork": "ForkContext", "spawn": "SpawnContext", "forkserver": "ForkServerContext"}


def work(connection: Any, value: Any, lock: Any) -> None:
    with lock:
        value.value += 1
    connection.send((procession.current_process().name, procession.parent_process().name))
    connection.close()


def test_context_runs_a_child_with_its_objects(start_method: str) -> None:
    context = procession.get_context(start_method)
    ours, theirs = context.Pipe()
    value, lock = context.Value("i", 41), context.Lock()
    process = context.Process(target=work, args=(theirs, value, lock), name="worker")
    process.start()
    theirs.close()
    assert ours.recv() == ("worker", "MainProcess")
    process.join(30)
    assert process.exitcode == 0
    assert value.value == 42
    ours.close()
    process.close()


def test_class_names_follow_the_start_method(start_method: str) -> None:
    context = procession.get_context(start_method)
    assert type(context).__name__ == METHODS[start_method]
    assert context.Process.__name__.lower() == f"{start_method}process"
    assert context.get_start_method() == start_method


def test_concrete_context_keeps_its_start_method(start_method: str) -> None:
    context = procession.get_context(start_method)
    assert context.get_context() is context
    with pytest.raises(ValueError, match="cannot set start method of concrete context"):
        context.set_start_method("spawn")


def test_context_survives_pickling(start_method: str) -> None:
    context = procession.get_context(start_method)
    assert pickle.loads(pickle.dumps(context)) is context


@pytest.mark.parametrize("method", ["", "knops", None.__class__])
def test_unknown_method(method: Any) -> None:
    with pytest.raises(ValueError, match="cannot find context for"):
        procession.get_context(method)


def test_every_context_has_the_whole_api() -> None:
    wanted = {
        name
        for name in procession.__all__
        if name not in ("SUBDEBUG", "SUBWARNING", "install") and not name.endswith(("Error", "ShutDown"))
    } - {"forkserver_preload_report", "memory", "orphaned_segments", "remove_orphans", "set_memory_limit"}
    wanted -= {"set_oob_threshold", "share", "get_reusable_pool"}
    wanted |= {"ProcessError", "BufferTooShort", "TimeoutError", "AuthenticationError", "reducer"}
    missing = {name for name in wanted if not hasattr(type(default_context), name)}
    assert not missing


@pytest.mark.parametrize(
    "name", [n for n, m in vars(BaseContext).items() if n[0] != "_" and inspect.isfunction(m)]
)
def test_context_methods_are_documented(name: str) -> None:
    assert inspect.getdoc(getattr(BaseContext, name))


DEFAULT = """
import procession as mp
assert mp.get_start_method(allow_none=True) is None
context = mp.get_context()
assert mp.get_start_method(allow_none=True) == context.get_start_method() == mp.get_all_start_methods()[0]
try:
    mp.set_start_method("spawn")
except RuntimeError as error:
    assert str(error).startswith("context has already been set"), error
else:
    raise SystemExit("set twice")
mp.set_start_method("spawn", force=True)
assert mp.get_context().get_start_method() == "spawn"
mp.set_start_method(None, force=True)
assert mp.get_start_method(allow_none=True) is None
"""


def test_default_context_is_fixed_by_asking() -> None:
    subprocess.run([sys.executable, "-c", DEFAULT], check=True, timeout=60)


def test_default_context_is_the_api_of_the_package() -> None:
    assert isinstance(default_context, DefaultContext)
    assert procession.get_context == default_context.get_context
    assert procession.context._default_context is default_context


REAL = """
import procession, pickle
context = procession.get_context("spawn")
assert type(context).__name__ == "SpawnContext" and isinstance(context, type(context))
import multiprocessing.context
assert isinstance(context, multiprocessing.context.BaseContext)
assert isinstance(context, procession.context.BaseContext)
assert pickle.loads(pickle.dumps(context)) is context
"""


def test_context_passes_for_one_of_the_standard_library() -> None:
    subprocess.run([sys.executable, "-c", REAL], check=True, timeout=60)


CHOSEN = """
import procession

def work(queue, lock):
    with lock:
        queue.put(1)

if __name__ == "__main__":
    procession.set_start_method("spawn")
    queue, lock = procession.Queue(), procession.Lock()
    process = procession.Process(target=work, args=(queue, lock))
    process.start()
    assert queue.get(timeout=30) == 1
    process.join()
"""


def test_objects_serve_the_chosen_start_method(tmp_path: Path) -> None:
    (tmp_path / "chosen.py").write_text(CHOSEN)
    for native in ("0", ""):
        environment = {**os.environ, "PROCESSION_NATIVE": native}
        subprocess.run([sys.executable, str(tmp_path / "chosen.py")], check=True, timeout=60, env=environment)


def test_a_pool_takes_the_options_beyond_the_documented_ones() -> None:
    with procession.get_context("fork").Pool(1, timeout=30, retries=1, memory_limit=1 << 32) as pool:
        assert pool.apply(abs, (-3,)) == 3
    with procession.Pool(1, soft_timeout=30) as pool:
        assert pool.apply(abs, (-3,)) == 3
    with pytest.raises(TypeError, match="nonsense"):
        procession.Pool(1, nonsense=1)


def test_a_context_s_pool_has_the_parameters_of_the_pool() -> None:
    theirs = dict(inspect.signature(procession_pool.Pool).parameters)
    del theirs["context"]
    ours = dict(inspect.signature(BaseContext.Pool).parameters)
    del ours["self"]
    assert list(ours.values()) == list(theirs.values())


def test_the_reusable_pool() -> None:
    pool = procession.get_reusable_pool(1)
    assert procession.get_reusable_pool() is pool and pool.apply(abs, (-3,)) == 3
    pool.terminate()
    pool.join()
