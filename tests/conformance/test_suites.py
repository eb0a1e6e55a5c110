"""CPython's own tests, whole or a sample, against what known_differences.toml says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import runner

VARIANT = "portable" if runner.is_portable() else "native"
SAMPLE = 5
TOOL = Path(__file__).resolve().parents[2] / "tools/differences.py"
SUITES = [
    ("multiprocessing", "fork", "test._test_multiprocessing"),
    ("multiprocessing", "spawn", "test._test_multiprocessing"),
    ("multiprocessing", "forkserver", "test._test_multiprocessing"),
    ("main_handling", "any", "test.test_multiprocessing_main_handling"),
    ("futures", "any", "test.test_concurrent_futures.executor"),
    ("executor", "any", "test.test_concurrent_futures.executor"),
    ("others", "any", "test.test_compileall"),
]


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.linux_only
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("suite", "method", "module"), SUITES, ids=[f"{s}-{m}" for s, m, _ in SUITES])
def test_suite(suite: str, method: str, module: str, pytestconfig: pytest.Config) -> None:
    if not _installed(module):
        pytest.skip(f"this Python is installed without {module}")
    entries = runner.known(VARIANT)
    wanted = runner.runnable(entries, runner.names(method, suite))
    if pytestconfig.getoption("--sample"):
        offset = [m for _, m, _ in SUITES].index(method)
        wanted = [name for name in wanted if not runner.is_long(name)][offset % SAMPLE :: SAMPLE]
    outcomes = runner.run(method, suite, wanted)
    bad = [o for o in outcomes if o.status not in runner.GOOD and not runner.expected(entries, o.name)]
    print(f"{suite} {method}: {runner.count(outcomes, entries)}")
    assert not bad, "\n\n".join(f"{o.name}: {o.status} ({o.seconds:.1f} s)\n{o.text}" for o in bad)


def test_known_differences_are_few_and_complete() -> None:
    entries = runner.read_differences()
    assert 0 < len(entries) <= 30
    for entry in entries:
        assert set(entry) <= {"tests", "run", "variant", "rule", "instead", "example"}
        assert all(entry[key] for key in ("tests", "rule", "instead", "example")), entry
        compile(entry["example"], "example", "exec")


def test_what_goes_unnoticed_is_shown_by_tests() -> None:
    for entry in runner.read_unnoticed():
        assert set(entry) == {"what", "instead", "example", "test"} and all(entry.values())
        compile(entry["example"], "example", "exec")
        file, _, name = entry["test"].partition("::")
        assert f"\ndef {name}(" in (runner.HERE.parent / file).read_text(encoding="utf-8")


@pytest.mark.skipif(not TOOL.exists(), reason="needs the repository")
def test_documentation_lists_the_known_differences() -> None:
    done = subprocess.run([sys.executable, str(TOOL), "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
