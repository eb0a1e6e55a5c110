"""What every test folder shares: the variant under test, the start methods, the check for leaks.

The variant is that of the whole pytest process: ``PROCESSION_NATIVE=0`` forces the portable one, ``require``
makes a missing C core an error, anything else takes the core where it is built.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import platform
import re
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

# A shell ignores SIGINT in what it runs in the background, and programs started from there inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

WISH = os.environ.get("PROCESSION_NATIVE", "")


def _native_is_built() -> bool:
    try:
        from procession_native import core
    except ImportError:
        return False
    return core is not None


def _alone_without_core() -> bool:
    # A distribution that does not depend on procession-native has no core when it is tested alone.
    return (
        bool(os.environ.get("PROCESSION_ISOLATED")) and importlib.util.find_spec("procession_native") is None
    )


VARIANT = "portable" if WISH == "0" or not _native_is_built() else "native"


def _start_methods() -> tuple[str, ...]:
    if sys.platform == "win32":
        return ("spawn",)
    if not hasattr(os, "pidfd_open"):  # PyPy
        return ("fork", "spawn")
    return ("fork", "spawn", "forkserver")


# ---- options and selection ------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("procession")
    group.addoption(
        "--start-methods",
        default=",".join(_start_methods()),
        metavar="A,B",
        help="start methods that the start_method fixture runs over (default: all of this platform)",
    )
    group.addoption(
        "--sample",
        action="store_true",
        default=os.environ.get("PROCESSION_SAMPLE") == "1",
        help="let the long suites (stress, faults, conformance, downstream, cluster) run a sample only; also "
        "PROCESSION_SAMPLE=1",
    )
    group.addoption("--quick", action="store_true", help="leave out tests marked slow, stress or faults")


def pytest_configure(config: pytest.Config) -> None:
    if WISH == "require" and VARIANT != "native" and not _alone_without_core():
        raise pytest.UsageError(
            "PROCESSION_NATIVE=require, but procession_native._core cannot be found; build it with "
            "`python packages/native/hatch_build.py` or unset the variable"
        )
    wanted = config.getoption("--start-methods").split(",")
    unknown = [m for m in wanted if m not in ("fork", "spawn", "forkserver")]
    if unknown:
        raise pytest.UsageError(f"--start-methods: unknown {unknown}; allowed are fork, spawn and forkserver")


def pytest_report_header(config: pytest.Config) -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"procession: {VARIANT} variant, {python}, {platform.platform()}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "start_method" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--start-methods").split(",")
        metafunc.parametrize("start_method", [m for m in _start_methods() if m in wanted])


_skipped: dict[str, int] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    quick = config.getoption("--quick")
    rules = [
        ("native_only", VARIANT == "portable", "needs the C core (portable variant runs)"),
        ("portable_only", VARIANT == "native", "is about the portable variant (native variant runs)"),
        ("linux_only", not sys.platform.startswith("linux"), "needs Linux"),
        ("slow", quick, "slow (left out by --quick)"),
        ("stress", quick, "stress (left out by --quick)"),
        ("faults", quick, "faults (left out by --quick)"),
    ]
    for item in items:
        for name, applies, reason in rules:
            if applies and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))
                _skipped[name] = _skipped.get(name, 0) + 1
                break


# ---- one distribution alone ------------------------------------------------------------------------

# Set by tools/isolated.py to the name of the distribution under test. Its tests may use others of the family,
# to start processes for instance; alone it has only what it declares, and those tests are skipped and
# counted.
ISOLATED = os.environ.get("PROCESSION_ISOLATED", "")
_ABSENT = re.compile(r"No module named '(procession(?:_[a-z]+)?)[.']")


def _absent_from_isolation(text: str) -> str | None:
    found = _ABSENT.search(f"{text}'") if ISOLATED else None
    if found and found[1] not in (f"procession_{ISOLATED}", ISOLATED):
        _skipped["isolation"] = _skipped.get("isolation", 0) + 1
        return f"uses {found[1]}, which procession-{ISOLATED} does not depend on"
    return None


def _skip_what_is_absent() -> Generator[None, Any, Any]:
    try:
        return (yield)
    except ModuleNotFoundError as error:
        reason = _absent_from_isolation(str(error))
        if reason is None:
            raise
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from _skip_what_is_absent())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    return (yield from _skip_what_is_absent())


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        reason = _absent_from_isolation(str(report.longrepr))
        if reason is not None:
            report.outcome = "skipped"
            report.longrepr = (str(collector.path), 1, f"Skipped: {reason}")
    return report


# ---- summary -----------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counted = ", ".join(f"{count} {name}" for name, count in _skipped.items()) or "none"
    terminalreporter.write_line(f"procession: {VARIANT} variant; skipped by marker: {counted}")


# ---- fixtures -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def variant() -> str:
    """The variant under test: 'native' or 'portable'."""
    return VARIANT


@pytest.fixture(scope="session")
def sample(pytestconfig: pytest.Config) -> bool:
    """Whether a long suite should run a sample of itself: seconds instead of minutes."""
    return bool(pytestconfig.getoption("--sample"))


@pytest.fixture
def mp_context(start_method: str) -> Any:
    """``procession.get_context(start_method)``; skips where the meta-distribution is not installed."""
    procession = pytest.importorskip("procession", reason="needs the meta-distribution")
    return procession.get_context(start_method)


class LeakCheck:
    """What the process holds before a test, compared with what it holds after it."""

    # The arena, its witness file and what polls them are made once for each process, by whichever test comes
    # first.
    once_per_process = ("/memfd:procession", "anon_inode:[eventpoll]")

    def __init__(self) -> None:
        self.allowed = {"descriptors": 0, "children": 0, "threads": 0}
        self._before = self._now()

    def allow(self, *, descriptors: int = 0, children: int = 0, threads: int = 0) -> None:
        """Let the test leave that many more behind."""
        self.allowed["descriptors"] += descriptors
        self.allowed["children"] += children
        self.allowed["threads"] += threads

    def rebase(self) -> None:
        """Take the present state as the one to compare with, after warming up."""
        gc.collect()
        self._before = self._now()

    def _now(self) -> dict[str, dict[str, str]]:
        return {"descriptors": self._descriptors(), "children": self._children(), "threads": self._threads()}

    def _descriptors(self) -> dict[str, str]:
        found = {}
        try:
            names = os.listdir("/proc/self/fd")
        except FileNotFoundError:
            return found
        for name in names:
            try:
                target = os.readlink(f"/proc/self/fd/{name}")
            except FileNotFoundError:  # the descriptor of the listing itself
                continue
            if not target.startswith(self.once_per_process) and not target.endswith("/fd"):
                found[name] = target
        return found

    def _children(self) -> dict[str, str]:
        found = {}
        for listing in Path("/proc/self/task").glob("*/children"):
            try:
                pids = listing.read_text().split()
            except OSError:  # a thread that has just ended
                continue
            for pid in pids:
                try:
                    command = (
                        Path(f"/proc/{pid}/cmdline")
                        .read_bytes()
                        .replace(b"\0", b" ")
                        .decode(errors="replace")
                    )
                except OSError:
                    continue
                found[pid] = command.strip() or "zombie"
        return found

    def _threads(self) -> dict[str, str]:
        return {str(thread.ident): thread.name for thread in threading.enumerate()}

    def surplus(self) -> list[str]:
        """One line for each kind of thing that the test left behind."""
        lines = []
        now = self._now()
        for kind, before in self._before.items():
            if len(now[kind]) > len(before) + self.allowed[kind]:
                new = {key: text for key, text in now[kind].items() if before.get(key) != text}
                lines.append(f"{len(before)} {kind} before, {len(now[kind])} after: {new}")
        return lines

    def settle(self, seconds: float = 5.0) -> list[str]:
        """Wait until nothing is left behind, and return what still is at the deadline."""
        deadline = time.monotonic() + seconds
        while True:
            gc.collect()
            lines = self.surplus()
            if not lines or time.monotonic() > deadline:
                return lines
            time.sleep(0.01)


@pytest.fixture
def leak_check() -> Iterator[LeakCheck]:
    """Fail the test if it leaves descriptors, child processes or threads behind."""
    check = LeakCheck()
    yield check
    left = check.settle()
    if left:
        pytest.fail("the test left something behind\n" + "\n".join(left))
