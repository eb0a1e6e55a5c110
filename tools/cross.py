"""Compile the C core for other systems and run what can be run: ``python tools/cross.py [TARGET ...]``.

For every target of packages/native/hatch_build.py, with zig as the compiler (``pip install ziglang``): the module as
it goes into a wheel, and the C tests of ``csrc/tests``, which are then run

- here, where the target is this kind of machine;
- under qemu-user, where it is Linux on another one and the tests can be linked statically (Debian:
  ``apt-get install qemu-user-static``). That shows another instruction set and another C library; qemu runs the guest's
  threads with this machine's memory order, so it says little about a weaker one.

What is built for macOS is compiled and linked, and never run. Prints a table. The first use of a target takes zig a
minute or two, for the C library. For Windows nothing is built: the portable variant is the one there.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "packages" / "native"))

import csan
import hatch_build

SECONDS = 600
"""For one test program, under qemu too."""

# Fails there in a forked child; pages that fork() is to wipe are the suspect.
NOT_UNDER_QEMU = {"test_fill"}


class Failed(Exception):
    """A build or a test that did not work; the text says what was said."""


def run(command: list[str], seconds: int = SECONDS) -> None:
    """Run a command to its end; raise Failed with its output if that is no success."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command[-1:])} did not end within {seconds} s") from error
    if done.returncode:
        raise Failed(
            f"{' '.join(command)}\nended with {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}"
        )


def build_module(target: str, folder: Path) -> int:
    """Build the module as for a wheel; return its size in bytes."""
    os.environ[hatch_build.TARGET] = target
    try:
        reason = hatch_build.unsupported()
        if reason:
            raise Failed(reason)
        module = folder / f"_core{hatch_build.suffix()}"
        hatch_build.build(module, folder / "objects")
    except hatch_build.BuildFailure as error:
        raise Failed(str(error)) from error
    finally:
        del os.environ[hatch_build.TARGET]
    return module.stat().st_size


def runner(target: str) -> list[str] | None:
    """What starts a program of that target here: nothing, or qemu; None if nothing can."""
    machine, _, system = target.partition("-")
    if not sys.platform.startswith("linux") or not system.startswith("linux"):
        return None
    if machine == platform.machine():
        return []
    qemu = shutil.which(f"qemu-{machine}-static") or shutil.which(f"qemu-{machine}")
    # glibc cannot be linked statically by zig, and its loader is not here.
    return [qemu] if qemu and system.endswith("musl") else None


def build_tests(target: str, folder: Path) -> list[Path]:
    """Build every C test, with the kill points in; return the programs."""
    cc = [hatch_build.zig(), "cc", "-target", target, "-O2", *hatch_build.FLAGS]
    cc += ["-DPROCESSION_FAULTS", f"-I{csan.SOURCES}"]
    tests = sorted((csan.SOURCES / "tests").glob("test_*.c"))

    def compile_one(source: Path) -> Path:
        made = folder / f"{source.stem}.o"
        run([*cc, "-c", str(source), "-o", str(made)])
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        core = list(pool.map(compile_one, csan.core_sources()))
        objects = list(pool.map(compile_one, tests))
    programs = []
    for made in objects:
        program = folder / made.stem
        static = ["-static"] if target.endswith("musl") else []
        run([*cc, *static, str(made), *map(str, core), "-o", str(program)])
        programs.append(program)
    return programs


def check(target: str) -> tuple[str, str]:
    """Build and run all for one target; return what the table says of the module and of the tests."""
    with tempfile.TemporaryDirectory(prefix="procession-cross-") as name:
        folder = Path(name)
        size = build_module(target, folder)
        (folder / "tests").mkdir()
        programs = build_tests(target, folder / "tests")
        start = runner(target)
        if start is None:
            return f"{size // 1024} KiB", f"{len(programs)} linked, not run"
        chosen = [program for program in programs if not start or program.name not in NOT_UNDER_QEMU]
        for program in chosen:
            run([*start, str(program)])
        return f"{size // 1024} KiB", f"{len(chosen)} passed{' under qemu' if start else ''}"


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(hatch_build.TARGETS)}")
    options = parser.parse_args(arguments)
    unknown = [target for target in options.targets if target not in hatch_build.TARGETS]
    if unknown:
        parser.error(f"unknown targets {unknown}; there are {list(hatch_build.TARGETS)}")
    failed = 0
    print(f"{'target':24} {'wheel':24} {'module':>9}  {'C tests':22} seconds", flush=True)
    for target in options.targets or hatch_build.TARGETS:
        begun = time.monotonic()
        try:
            module, tests = check(target)
        except Failed as error:
            failed += 1
            module, tests = "FAILED", "-"
            print(error, file=sys.stderr, flush=True)
        seconds = time.monotonic() - begun
        print(
            f"{target:24} {hatch_build.TARGETS[target]:24} {module:>9}  {tests:22} {seconds:.0f}", flush=True
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
