"""``procession doctor``: say in plain words what runs here, which limits bite, and whether each layer works."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time

from procession_native import build_info, core

from ._doctor_limits import NOTE, OK, WARNING, Finding, examine
from ._doctor_trees import show_trees
from ._lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ("ERROR", "about", "doctor", "examine_orphans", "main", "test_layers")

ERROR = "error"

_WIDTH = 14
_SIGNS = {OK: "  ", NOTE: "- ", WARNING: "! ", ERROR: "X "}


def about() -> list[Finding]:
    """Return what this is: interpreter, system, variant, versions."""
    libc = " ".join(part for part in platform.libc_ver() if part)
    python = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    found = [
        Finding("python", OK, python),
        Finding(
            "system", OK, f"{platform.system()} {platform.release()} {platform.machine()} {libc}".rstrip()
        ),
    ]
    advice = ""
    if core is None and sys.platform.startswith("linux"):
        advice = (
            "This variant is slower and cannot repair what a killed process held. On Linux, install a C compiler and "
            "reinstall procession-native, or unset PROCESSION_NATIVE."
        )
    found.append(Finding("variant", OK if not advice else WARNING, build_info(), advice))
    found.append(_versions())
    return found


def _versions() -> Finding:
    from importlib.metadata import distributions

    versions: dict[str, str] = {}
    for distribution in distributions():
        name = (distribution.metadata["Name"] or "").replace("_", "-").lower()
        if name == "procession" or name.startswith("procession-"):
            versions.setdefault(name, distribution.version)
    if not versions:
        return Finding("versions", NOTE, "not installed; imported from a source tree")
    different = sorted(set(versions.values()))
    if len(different) > 1:
        listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
        return Finding(
            "versions",
            WARNING,
            listed,
            "All distributions of the family must have the same version. Reinstall them.",
        )
    return Finding("versions", OK, f"{different[0]} ({len(versions)} distributions)")


def examine_orphans(remove: bool) -> Finding:
    """Return the finding on named segments that nobody maps; with *remove*, remove them first."""
    shm = load("procession_shm")
    names: list[str] = shm.orphaned_segments()
    if not names:
        return Finding("/dev/shm", OK, "no segment of this library that no process maps")
    if remove:
        removed = shm.remove_orphans(names)
        return Finding("/dev/shm", OK, f"removed {len(removed)}: {', '.join(removed)}")
    return Finding(
        "/dev/shm",
        WARNING,
        f"{len(names)} segment(s) that no process maps: {', '.join(names)}",
        "A process tree that was killed as a whole left them. If nobody is going to attach to them, "
        "`procession doctor --remove` removes them.",
    )


def test_layers(seconds: float) -> list[Finding]:
    """Return a finding for each layer and each start method, having used it in an interpreter of its own."""
    checks = load("procession._doctor_checks")
    findings = []
    for name in checks.CHECKS:
        begun = time.monotonic()
        passed, text = checks.run_apart(name, seconds)
        took = time.monotonic() - begun
        level = {True: OK, False: ERROR, None: NOTE}[passed]
        advice = ""
        if level == ERROR:
            advice = "This layer does not work here. Report it with the output of `procession doctor --json`."
        findings.append(Finding(name, level, text, advice, {"seconds": round(took, 3)}))
    return findings


def _print(title: str, findings: Sequence[Finding]) -> None:
    print(f"\n{title}")
    for finding in findings:
        print(f"{_SIGNS[finding.level]}{finding.name:{_WIDTH}} {finding.text}")
        if finding.advice:
            print(" " * (_WIDTH + 3) + finding.advice)


def doctor(arguments: Sequence[str] = ()) -> int:
    """Examine this machine and this installation; print a report; return the exit status.

    0: everything works. 1: a self-test failed, or with ``--strict`` there is a warning. argparse ends with 2 for a
    command line that it does not understand.
    """
    parser = argparse.ArgumentParser(
        prog="procession doctor", description="Examine this machine and installation."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--remove", action="store_true", help="remove named segments that no process maps")
    parser.add_argument("--strict", action="store_true", help="exit with 1 also if there is a warning")
    parser.add_argument("--no-tests", action="store_true", help="leave the self-tests out")
    parser.add_argument(
        "--seconds", type=float, default=30.0, metavar="N", help="time limit of each self-test"
    )
    options = parser.parse_args(arguments)
    sections = {"this": about(), "limits": [*examine(), examine_orphans(options.remove)]}
    if not options.no_tests:
        sections["tests"] = test_layers(options.seconds)
    levels = [finding.level for findings in sections.values() for finding in findings]
    status = 1 if ERROR in levels or (options.strict and WARNING in levels) else 0
    if options.json:
        report: dict[str, Any] = {
            name: [f.as_dict() for f in findings] for name, findings in sections.items()
        }
        print(json.dumps({"status": status, **report}, indent=2))
        return status
    titles = {"this": "This is", "limits": "Limits", "tests": "Self-tests (each in a process of its own)"}
    for name, findings in sections.items():
        _print(titles[name], findings)
    errors, warnings = levels.count(ERROR), levels.count(WARNING)
    print(f"\n{errors} failed, {warnings} warning(s)" if errors or warnings else "\nAll is well.")
    return status


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script ``procession``. Raises SystemExit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"doctor": doctor, "top": show_trees}
    if not given or given[0] in ("-h", "--help"):
        print(
            "usage: procession doctor [--json] [--remove] [--strict] [--no-tests]\n       procession top [--json]\n"
        )
        print("doctor: examine this machine and installation, test each layer, give advice.")
        print(
            "top:    list the process trees that share an arena now, and what each of their processes uses."
        )
        print("\nTo run a program with multiprocessing replaced: python -m procession SCRIPT [argument ...]")
        raise SystemExit(0 if given else 2)
    command = commands.get(given[0])
    if command is None:
        print(f"procession: unknown command {given[0]!r}; there are {', '.join(commands)}", file=sys.stderr)
        raise SystemExit(2)
    try:
        status = command(given[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 1
    raise SystemExit(status)
