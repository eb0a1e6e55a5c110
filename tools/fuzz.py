"""Fuzz the C core: ``python tools/fuzz.py [--minutes N] [--corpus DIR] [NAME ...]``

Each ``csrc/tests/fuzz_*.c`` is a libFuzzer program, built with clang and the address and undefined-behaviour
sanitizers together with every C file of the core that does not see Python.  The time is shared between them;
they run one after the other.  Prints a line of figures for each.  An input that fails is kept in the corpus
folder and named; a run with that file as its only argument repeats it.  Needs clang with libFuzzer (Debian:
``apt-get install clang libclang-rt-14-dev``).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import csan

FLAGS = [
    *("-g", "-O1", "-std=c11", "-Wall", "-Wextra", "-pthread"),
    *("-fno-strict-aliasing", "-fno-omit-frame-pointer"),
    "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=undefined",
]
FIGURES = {
    "runs": re.compile(r"stat::number_of_executed_units:\s*(\d+)"),
    "speed": re.compile(r"stat::average_exec_per_sec:\s*(\d+)"),
    "coverage": re.compile(r"cov: (\d+)(?!.*cov: \d)", re.DOTALL),
}
# With the inputs of a run its own: one that needs longer hangs.
INPUT_SECONDS = 20


def compiler() -> str:
    """The clang to build with."""
    return os.environ.get("CLANG", "clang")


def build(source: Path, folder: Path) -> Path:
    """Compile one harness with the core. Raises CalledProcessError with the compiler's words."""
    program = folder / source.stem
    files = [str(path) for path in (source, *csan.core_sources())]
    subprocess.run(
        [compiler(), *FLAGS, f"-I{csan.SOURCES}", *files, "-o", str(program)],
        check=True,
        capture_output=True,
        text=True,
    )
    return program


def figure(name: str, text: str) -> str:
    """One of FIGURES from libFuzzer's output."""
    found = FIGURES[name].search(text)
    return found[1] if found else "?"


def run(program: Path, seconds: int, corpus: Path, seed: int) -> bool:
    """Fuzz with one harness; True if nothing was found."""
    corpus.mkdir(parents=True, exist_ok=True)
    found = corpus.with_name(f"{program.name}-found-")
    begun = time.monotonic()
    done = subprocess.run(
        [
            str(program),
            f"-max_total_time={seconds}",
            f"-timeout={INPUT_SECONDS}",
            f"-seed={seed}",
            f"-artifact_prefix={found}",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
            "-len_control=10",
            str(corpus),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        # Shared memory is no leak, and an arena lives as long as the program.
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
    )
    text = done.stderr
    spent = time.monotonic() - begun
    inputs = len(list(corpus.iterdir()))
    print(
        f"{program.name}: {figure('runs', text)} runs in {spent:.0f} s ({figure('speed', text)} a second), "
        f"coverage {figure('coverage', text)}, corpus {inputs}, seed {seed}: "
        f"{'nothing found' if done.returncode == 0 else 'FOUND'}",
        flush=True,
    )
    if done.returncode:
        print(text[-6000:], flush=True)
    return done.returncode == 0


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--minutes",
        type=float,
        default=float(os.environ.get("PROCESSION_FUZZ_MINUTES", "6")),
        help="for all harnesses together (default 6, or PROCESSION_FUZZ_MINUTES)",
    )
    parser.add_argument("--corpus", type=Path, help="folder to keep the inputs in (default: none are kept)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of libFuzzer (default: the time)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part of a harness's name")
    options = parser.parse_args(arguments)
    harnesses = sorted((csan.SOURCES / "tests").glob("fuzz_*.c"))
    harnesses = [
        path for path in harnesses if not options.names or any(n in path.name for n in options.names)
    ]
    if not harnesses:
        print("no harness found", file=sys.stderr)
        return 1
    failed = 0
    with tempfile.TemporaryDirectory(prefix="procession-fuzz-") as name:
        corpora = options.corpus or Path(name) / "corpus"
        for harness in harnesses:
            try:
                program = build(harness, Path(name))
            except FileNotFoundError:
                print(
                    f"{compiler()} is not installed; on Debian: apt-get install clang libclang-rt-14-dev",
                    file=sys.stderr,
                )
                return 1
            except subprocess.CalledProcessError as error:
                print(f"{harness.name} does not compile:\n{error.stderr}", file=sys.stderr)
                return 1
            seconds = max(1, round(options.minutes * 60 / len(harnesses)))
            failed += not run(program, seconds, corpora / harness.stem, options.seed)
    print(f"{len(harnesses)} harnesses: {failed} found something")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
