"""Runs a suite of CPython's tests against procession, test by test with a time limit each, and judges the outcome.

Also a program: ``python tests/conformance/runner.py METHOD[,METHOD] [--suite SUITE] [--plain] [--seconds LIMIT]
[PATTERN ...]`` prints what did not pass, as soon as it is known. A suite is multiprocessing, main_handling, futures
(ProcessPoolExecutor on our contexts), executor (``pool.executor()`` in its place) or others (what the tests of other
modules do with processes); --plain runs the standard library itself, --seconds gives each test more time.
"""

from __future__ import annotations

import fnmatch
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DRIVER = HERE / "driver.py"
DIFFERENCES = HERE / "known_differences.toml"
SECONDS = 60.0
LONGER = {
    "*test_resource_tracker*": 120.0,
    "*large_pool*": 120.0,
    "*test_many_processes*": 120.0,
    "*Deadlock*": 120.0,
}

LONG = (
    "*ExecutorDeadlock*",
    "*large_pool*",
    "*test_many_processes",
    "*test_map_timeout",
    "*thread_safety",
    "TestWait.*",
    "test_fork1:*",
    "test_socketserver:*",
    "test_threading:*",
)
GOOD = ("ok", "skip")


@dataclass
class Outcome:
    """How one test ended: ok, skip, failure, error, hang, crash or fixture."""

    name: str
    status: str
    seconds: float
    text: str = ""


def _command(method: str, suite: str, plain: bool) -> list[str]:
    start = [] if plain else ["-m", "procession"]
    return [sys.executable, *start, str(DRIVER), method, suite]


def _environment(plain: bool) -> dict[str, str]:
    environment = {**os.environ, "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    environment["CONFORMANCE_PLAIN"] = "1" if plain else "0"
    return environment


def names(method: str, suite: str, plain: bool = False) -> list[str]:
    """Return the names of all tests of *suite*, in order."""
    done = subprocess.run(
        [*_command(method, suite, plain), "list"],
        capture_output=True,
        text=True,
        timeout=120,
        env=_environment(plain),
    )
    if done.returncode:
        raise RuntimeError(f"the tests cannot be listed:\n{done.stderr}")
    return [line for line in done.stdout.split() if "." in line]


def _limit(name: str, seconds: float) -> float:
    return max([seconds, *(longer for pattern, longer in LONGER.items() if fnmatch.fnmatch(name, pattern))])


def run(
    method: str,
    suite: str,
    wanted: list[str],
    plain: bool = False,
    seconds: float = SECONDS,
    report: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Run *wanted* and return an outcome for each. A test that hangs or crashes costs a restart, not the rest."""
    outcomes: list[Outcome] = []
    left = list(wanted)
    while left:
        finished, found = _stretch(method, suite, left, plain, seconds, report)
        outcomes += found
        done = {outcome.name for outcome in found}
        remaining = [name for name in left if name not in done]
        if finished or len(remaining) == len(left):
            text = "did not run: its class or module could not be set up"
            unset = [Outcome(name, "fixture", 0.0, text) for name in remaining]
            outcomes += unset
            for outcome in unset:
                report(outcome)
            break
        left = remaining
    return outcomes


def _stretch(
    method: str,
    suite: str,
    wanted: list[str],
    plain: bool,
    seconds: float,
    report: Callable[[Outcome], object],
) -> tuple[bool, list[Outcome]]:
    """Run in one process until it ends or must be ended; return whether it came to its end."""
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        report(outcome)

    reads, writes = os.pipe()
    with tempfile.NamedTemporaryFile("w", suffix=".tests") as listed, tempfile.TemporaryFile("w+") as log:
        listed.write("\n".join(wanted))
        listed.flush()
        process = subprocess.Popen(
            [*_command(method, suite, plain), "run", listed.name, str(writes)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writes],
            start_new_session=True,
            env=_environment(plain),
        )
        os.close(writes)
        current, begun, buffer, finished = "", time.monotonic(), b"", False
        fixtures: list[str] = []
        try:
            while True:
                limit = _limit(current, seconds) if current else seconds
                ready = select.select([reads], [], [], max(0.0, begun + limit - time.monotonic()))[0]
                if not ready:
                    os.kill(process.pid, signal.SIGUSR1)
                    time.sleep(0.5)
                    text = f"no end within {limit:.0f} s\n{_tail(log)}"
                    note(Outcome(current or wanted[0], "hang", time.monotonic() - begun, text))
                    return False, outcomes
                data = os.read(reads, 1 << 16)
                if not data:
                    break
                *lines, buffer = (buffer + data).split(b"\n")
                for line in map(json.loads, lines):
                    if "begin" in line:
                        current, begun = line["begin"], time.monotonic()
                    elif "end" in line:
                        took = time.monotonic() - begun
                        note(Outcome(line["end"], line["status"], took, line["text"]))
                        current, begun = "", time.monotonic()
                    elif "fixture" in line:
                        note(Outcome(line["fixture"], line["status"], 0.0, line["text"]))
                        fixtures.append(line["fixture"])
                    else:
                        finished = True
                if finished and not current and _ended(process, 30):
                    break
            if not finished:
                code = process.wait(30)
                text = f"the test process ended with {code}\n{_tail(log)}"
                note(Outcome(current or wanted[0], "crash", 0.0, text))
            return finished, outcomes
        finally:
            os.close(reads)
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def _ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass
    return True


def _tail(log) -> str:
    log.seek(0)
    return log.read()[-6000:]


# ---- known differences -----------------------------------------------------------------------------


def read_differences() -> list[dict[str, Any]]:
    """Return all entries of known_differences.toml."""
    entries: list[dict[str, Any]] = tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))["difference"]
    return entries


def read_unnoticed() -> list[dict[str, str]]:
    """Return what differs although no test of CPython notices."""
    entries: list[dict[str, str]] = tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))["unnoticed"]
    return entries


def read_manual() -> list[dict[str, str]]:
    """Return where the manual of Python 2.6 differs from today's documentation, which holds."""
    entries: list[dict[str, str]] = tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))["manual"]
    return entries


def known(variant: str) -> list[dict[str, Any]]:
    """Return the entries that apply to *variant*."""
    return [entry for entry in read_differences() if entry.get("variant", variant) == variant]


def is_portable() -> bool:
    """Say whether the variant without the C core runs."""
    from procession_native import core

    return core is None


def is_long(name: str) -> bool:
    """Say whether a test is left out of the sample because it takes long."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in LONG)


def count(outcomes: list[Outcome], entries: list[dict[str, Any]]) -> dict[str, int]:
    """Return how many tests ended how; known differences count as "known"."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        bad = outcome.status not in GOOD
        status = "known" if bad and expected(entries, outcome.name) else outcome.status
        counts[status] = counts.get(status, 0) + 1
    return counts


def runnable(entries: list[dict[str, Any]], wanted: list[str]) -> list[str]:
    """Leave out what known_differences.toml says is not to be run."""
    barred = [entry for entry in entries if entry.get("run") is False]
    return [name for name in wanted if not expected(barred, name)]


def expected(entries: list[dict[str, Any]], name: str) -> bool:
    """Say whether one of *entries* names test *name*."""
    patterns = [pattern for entry in entries for pattern in entry["tests"]]
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def main(arguments: list[str]) -> int:
    """The command."""
    plain, suite, seconds = "--plain" in arguments, "multiprocessing", SECONDS
    if "--suite" in arguments:
        index = arguments.index("--suite")
        suite = arguments[index + 1]
        del arguments[index : index + 2]
    if "--seconds" in arguments:
        index = arguments.index("--seconds")
        seconds = float(arguments[index + 1])
        del arguments[index : index + 2]
    arguments = [argument for argument in arguments if argument != "--plain"]
    entries = [] if plain else known("portable" if is_portable() else "native")
    bad: list[Outcome] = []

    def report(outcome: Outcome) -> None:
        if outcome.status not in GOOD and not expected(entries, outcome.name):
            bad.append(outcome)
            head = f"==== {method} {outcome.name}: {outcome.status} ({outcome.seconds:.1f} s)"
            print(f"{head}\n{outcome.text}", flush=True)

    for method in arguments[0].split(","):
        wanted = names(method, suite, plain)
        if arguments[1:]:
            wanted = [
                name for name in wanted if any(fnmatch.fnmatch(name, pattern) for pattern in arguments[1:])
            ]
        outcomes = run(method, suite, runnable(entries, wanted), plain, seconds, report)
        slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:5]
        slow = ", ".join(f"{outcome.name} {outcome.seconds:.1f} s" for outcome in slowest)
        print(f"#### {method}: {count(outcomes, entries)}; slowest: {slow}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
