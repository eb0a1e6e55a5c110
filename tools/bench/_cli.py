"""The command line: run (the default), ``compare A.json B.json``, ``table RESULT.json``, ``list``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from . import _report, _runner
from ._baseline import ROWS
from ._impls import IMPLEMENTATIONS, REFERENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._impls import Implementation

_DEFAULT = f"{REFERENCE},procession"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Measure the rows of baseline.toml, each in a fresh process, interleaved.",
        epilog="Also: 'compare OLD.json NEW.json', 'table RESULT.json', 'list'.",
    )
    parser.add_argument(
        "--cases",
        action="append",
        metavar="GLOB",
        help="only the rows that match; may be given again or hold several, separated by commas",
    )
    parser.add_argument(
        "--impl",
        default=_DEFAULT,
        metavar="A,B",
        help=f"what to measure beside {REFERENCE}, or 'all': {', '.join(IMPLEMENTATIONS)}",
    )
    parser.add_argument(
        "--repeats", type=int, help="measurements of each implementation (default: 5, quick: 3)"
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument(
        "--pinned", action="store_const", const=("pinned",), dest="modes", help="all on one CPU"
    )
    modes.add_argument("--free", action="store_const", const=("free",), dest="modes", help="all on all CPUs")
    modes.add_argument(
        "--both",
        action="store_const",
        const=("free", "pinned"),
        dest="modes",
        help="each row in both modes (default: each in the mode in which it is judged)",
    )
    parser.add_argument("--quick", action="store_true", help="short and small: a look, no proof")
    parser.add_argument(
        "--min-seconds", type=float, help="length of a timed stretch (default: 0.3, quick: 0.05)"
    )
    parser.add_argument("--json", metavar="OUT", help="write the result to this file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 also if procession misses a floor")
    return parser


def _implementations(names: str) -> tuple[list[Implementation], dict[str, str]]:
    """Those that can be measured here, the reference first, and why the others cannot."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if names == "all":
        wanted = [name for name in IMPLEMENTATIONS if not name.startswith(("leaves", "control"))]
    unknown = [name for name in wanted if name not in IMPLEMENTATIONS]
    if unknown:
        raise SystemExit(
            f"bench: unknown implementation {unknown[0]!r}; known are {', '.join(IMPLEMENTATIONS)}"
        )
    present = []
    absent = {}
    for name in dict.fromkeys([REFERENCE, *wanted]):
        reason = IMPLEMENTATIONS[name].why_not()
        if reason:
            absent[name] = reason
        else:
            present.append(IMPLEMENTATIONS[name])
    return present, absent


def _cases(globs: Sequence[str] | None) -> list[str]:
    patterns = [part for glob in globs or ["*"] for part in glob.split(",") if part]
    found = [case for case in ROWS if any(fnmatchcase(case, pattern) for pattern in patterns)]
    if not found:
        raise SystemExit(f"bench: no case matches {', '.join(patterns)}; 'list' prints them all")
    return found


def _run(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    settings = _runner.Settings(
        repeats=options.repeats or (3 if options.quick else 5),
        min_seconds=options.min_seconds or (0.05 if options.quick else 0.3),
        quick=options.quick,
    )
    implementations, absent = _implementations(options.impl)
    for name, reason in absent.items():
        print(f"skipped: {name}: {reason}", file=sys.stderr)
    plan = [(case, mode) for case in _cases(options.cases) for mode in options.modes or (ROWS[case].judged,)]
    outcomes: list[_runner.Outcome] = []
    began = time.monotonic()
    try:
        for group in _runner.measure(plan, implementations, settings):
            outcomes += group
            for line in _report.lines(group):
                print(line, flush=True)
    except KeyboardInterrupt:
        print("interrupted; what was measured is kept", file=sys.stderr)
    seconds = time.monotonic() - began
    print()
    for line in _report.summary(outcomes):
        print(line)
    print(f"{seconds:.0f} s")
    for outcome in outcomes:
        if outcome.failed and outcome.traceback:
            print(f"\n{outcome.case} {outcome.mode} {outcome.implementation}:", file=sys.stderr)
            print(outcome.traceback, file=sys.stderr)
    if options.json:
        document = _report.document(outcomes, implementations, absent, settings, seconds)
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    failed = [outcome for outcome in outcomes if outcome.failed]
    return 1 if failed or (options.strict and _report.below(outcomes)) else 0


def _compare(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench compare", description="The ratios of two results.")
    parser.add_argument("old")
    parser.add_argument("new")
    options = parser.parse_args(arguments)
    for line in _report.compare(_report.read(options.old)[1], _report.read(options.new)[1]):
        print(line)
    return 0


def _table(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench table", description="A result as a Markdown table.")
    parser.add_argument("result")
    for line in _report.table(*_report.read(parser.parse_args(arguments).result)):
        print(line)
    return 0


def _list(arguments: Sequence[str]) -> int:
    argparse.ArgumentParser(prog="bench list", description="Every row.").parse_args(arguments)
    for row in ROWS.values():
        print(f"{row.case:26}{row.judged:8}floor {row.floor:<5g} goal {row.goal:<5g} {row.what}")
    return 0


_COMMANDS = {"compare": _compare, "table": _table, "list": _list, "run": _run}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 1 if a case failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in _COMMANDS:
        return _COMMANDS[given[0]](given[1:])
    return _run(given)
