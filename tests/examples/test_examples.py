"""Every program of docs/examples prints what stands in the ``.out`` file beside it, under every start method."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
RUN_WITH = Path(__file__).with_name("run_with.py")
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.out"))

# They show what only the C core can do: repairs after a death, shared objects that travel.
NATIVE = {
    "death_barrier", "death_lock", "death_queue", "death_retry", "rule_join_queue", "rule_keep", "rule_send",
    "rule_terminate",
}  # fmt: skip
NEEDS_MODULE = {
    "big_results": "numpy",
    "big_writable": "numpy",
    "tut_array": "numpy",
    "notebook": "cloudpickle",
}
NEEDS_PROGRAM = {"manager_tls": "openssl"}
LINUX = {"log_children", "rule_zombies"}
# They choose start methods themselves.
ONCE = {"contexts", "notebook", "rule_globals", "rule_main", "rule_zombies"}
# On the portable variant a few are enough.
PORTABLE = {
    "async_guide", "big_writable", "executor", "killing", "rule_methods", "timeouts", "tut_crash", "tut_lock",
    "tut_pipe", "tut_process", "tut_queue",
}  # fmt: skip


def run(method, name, *arguments, timeout=100):
    """Run a program under a start method and return what it printed; it must end with status 0."""
    done = subprocess.run(
        [sys.executable, str(RUN_WITH), method, str(EXAMPLES / f"{name}.py"), *arguments],
        cwd=EXAMPLES,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def skip_unless_it_can_run(name, start_method, variant):
    module = NEEDS_MODULE.get(name)
    if module and importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}")
    program = NEEDS_PROGRAM.get(name)
    if program and shutil.which(program) is None:
        pytest.skip(f"needs the program {program}")
    if name in LINUX and not sys.platform.startswith("linux"):
        pytest.skip("needs Linux")
    if name in ONCE and start_method != "fork":
        pytest.skip("chooses start methods itself")
    if variant == "portable" and name not in PORTABLE:
        pytest.skip("needs the C core" if name in NATIVE else "a few are enough on the portable variant")


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_prints_what_the_page_says(name, start_method, variant):
    skip_unless_it_can_run(name, start_method, variant)
    assert run(start_method, name) == (EXAMPLES / f"{name}.out").read_text(encoding="utf-8")


def test_every_program_is_tested_and_shown():
    names = {path.stem for path in EXAMPLES.glob("*.py") if not path.name.startswith("_")}
    elsewhere = {path.stem for path in EXAMPLES.glob("mp_*.py")} | {"corpus_index"}
    assert names == set(PROGRAMS) | elsewhere
    pages = "".join(
        path.read_text(encoding="utf-8")
        for path in EXAMPLES.parent.rglob("*.md")
        if "_build" not in path.parts and "generated" not in path.parts
    )
    unshown = [name for name in sorted(names) if f"examples/{name}.py" not in pages]
    assert not unshown, f"no page shows {unshown}"
