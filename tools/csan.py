"""Build and run the C tests of the core under the sanitizers and valgrind.

Usage: ``python tools/csan.py [--kinds plain,address,thread,valgrind] [NAME ...]``

Each ``csrc/tests/test_*.c`` is a program of its own; it is compiled together with every C file of the core
that does not see Python (all but ``py_*.c`` and ``module.c``), with the kill points in.  NAME is a part of a
test's file name. A kind whose tool this machine does not have is said to be skipped; with ``CI`` set that is
a failure.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "packages" / "native" / "csrc"
FLAGS = (
    "-g -std=c11 -Wall -Wextra -Wno-clobbered -fno-strict-aliasing -pthread -fno-omit-frame-pointer "
    "-DPROCESSION_FAULTS"
)
KINDS = {
    "plain": "-O2",
    "address": "-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined",
    "thread": "-O1 -fsanitize=thread",
    "valgrind": "-O1",
}
SLOW = {"thread": "11", "valgrind": "11"}
"""By what the tests divide their work, where it takes 10 to 50 times longer."""
SECONDS = 300


def core_sources() -> list[Path]:
    """The C files of the core that know nothing of Python."""
    found = []
    for path in sorted(SOURCES.rglob("*.c")):
        if "tests" in path.relative_to(SOURCES).parts:
            continue
        if path.name.startswith("py_") or "Python.h" in path.read_text(encoding="utf-8"):
            continue
        found.append(path)
    return found


def compiler() -> list[str]:
    """The compiler's command."""
    return shlex.split(os.environ.get("CC", "cc"))


def missing(kind: str, folder: Path) -> str | None:
    """Why this kind cannot run here, or None."""
    if kind == "valgrind":
        return None if shutil.which("valgrind") else "valgrind is not installed"
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    out = folder / f"probe-{kind}"
    command = [*compiler(), *shlex.split(KINDS[kind]), str(probe), "-o", str(out)]
    try:
        built = subprocess.run(command, capture_output=True)
        if built.returncode or subprocess.run([str(out)], capture_output=True).returncode:
            return f"{shlex.join(command)} does not give a program that runs"
    except OSError as error:
        return str(error)
    return None


def run_one(kind: str, test: Path, folder: Path) -> bool:
    """Compile and run one test; True if it passed."""
    program = folder / f"{test.stem}-{kind}"
    files = [str(p) for p in [test, *core_sources()]]
    command = [
        *compiler(),
        *shlex.split(FLAGS),
        *shlex.split(KINDS[kind]),
        f"-I{SOURCES}",
        *files,
        "-o",
        str(program),
    ]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        print(f"{kind:9} {test.name}: does not compile\n{built.stderr}", flush=True)
        return False
    # Children are killed on purpose: what they leave behind is no leak of the program.
    # The search for leaks at the end of each child would read all of the mapped windows: seconds for each.
    call = (
        ["valgrind", "-q", "--error-exitcode=99", "--leak-check=no", "--child-silent-after-fork=yes"]
        if kind == "valgrind"
        else []
    )
    # With randomised addresses the thread sanitizer of older compilers refuses to start on newer kernels.
    if kind == "thread" and shutil.which("setarch"):
        call = ["setarch", "-R"]
    begun = time.monotonic()
    environment = {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
        "TSAN_OPTIONS": "die_after_fork=0:halt_on_error=1",
    }
    if kind in SLOW:
        environment["PROCESSION_SLOW"] = SLOW[kind]
    log = program.with_suffix(".log")
    with log.open("wb") as output:
        child = subprocess.Popen(
            [*call, str(program)],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        status = child.wait(SECONDS)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        # The program's own children are in its session's group: none may outlive the test.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    spent = time.monotonic() - begun
    if status != 0:
        what = f"did not end within {SECONDS} s" if status is None else f"status {status} ({spent:.1f} s)"
        print(f"{kind:9} {test.name}: {what}\n{log.read_text(errors='replace')[-6000:]}", flush=True)
        return False
    print(f"{kind:9} {test.name}: passed ({spent:.1f} s)", flush=True)
    return True


def main(arguments: list[str]) -> int:
    """The command: every test under every kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma-separated; default: all")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args(arguments)
    kinds = options.kinds.split(",")
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        parser.error(f"unknown kinds {unknown}; there are {sorted(KINDS)}")
    tests = sorted((SOURCES / "tests").glob("test_*.c"))
    if options.names:
        tests = [test for test in tests if any(name in test.name for name in options.names)]
    if not tests:
        print("no C test found", file=sys.stderr)
        return 1
    failed = 0
    with tempfile.TemporaryDirectory(prefix="procession-csan-") as name:
        folder = Path(name)
        for kind in kinds:
            reason = missing(kind, folder)
            if reason:
                print(f"{kind:9} skipped: {reason}")
                failed += bool(os.environ.get("CI"))
                continue
            failed += sum(not run_one(kind, test, folder) for test in tests)
    print(f"{len(tests)} C tests under {', '.join(kinds)}: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
