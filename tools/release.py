"""Build, check and try a release: ``python tools/release.py VERSION [--out DIR] [--tests] [--allow-dirty]``.

What it does, in this order, and it stops at the first thing that is wrong:

1. refuses a tree with uncommitted changes, and a VERSION that is not the tree's (``tools/set_version.py`` changes
   that);
2. builds every distribution as sdist and wheel, twice, the second time from a copy of the committed files in another
   folder, and compares the two byte by byte (SOURCE_DATE_EPOCH is the time of the last commit).  The C core is
   compiled by zig: wheels for glibc from 2.28 on and for musl, on x86-64 and 64-bit ARM, and one without the core
   for macOS and Windows;
3. checks the files with twine, check-wheel-contents and abi3audit, and the tags of the core's wheels with auditwheel;
4. installs each distribution alone into an empty environment, with nothing but what it declares, and imports
   all its modules; runs a program on the meta distribution.  With ``--tests`` the quick tests of each run there too;
5. builds the native sdist where there is no compiler on PATH and sees that the portable variant is what comes out.

It publishes nothing.  Only the wheels for this machine can be installed and run here.  Needs build, hatchling, uv,
ziglang, twine, check-wheel-contents, abi3audit, auditwheel; ``tox -e release -- VERSION`` has them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

sys.path.insert(0, str(Path(__file__).parents[1] / "packages" / "native"))

import hatch_build
import install_local
import isolated

ROOT = install_local.ROOT

# macOS is not among them: nobody has run the core there.
NEWER_THAN_MUSL_1_2_0 = {
    *("_Fork", "gettid", "reallocarray", "qsort_r", "pthread_getname_np"),
    *("statx", "preadv2", "pwritev2", "tcgetwinsize", "tcsetwinsize", "renameat2"),
}

WHEELS = [name for name in hatch_build.TARGETS if "linux" in name] + [hatch_build.PORTABLE_TARGET]

PROGRAM = """
import procession as mp

def square(x):
    return x * x

if __name__ == "__main__":
    for method in mp.get_all_start_methods():
        context = mp.get_context(method)
        with context.Pool(2) as pool:
            assert pool.map(square, range(100)) == [x * x for x in range(100)]
    queue = mp.Queue()
    child = mp.Process(target=queue.put, args=("hello",))
    child.start()
    assert queue.get(timeout=60) == "hello"
    child.join()
    assert child.exitcode == 0
    import procession_native
    print(procession_native.build_info())
"""


class Wrong(Exception):
    """Something that a release must not have; the text says what."""


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """Run a command and return what it prints. Raises Wrong with its output if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise Wrong(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def say(text: str) -> None:
    print(text, flush=True)


def check_tree(version: str, allow_dirty: bool) -> str:
    """Return SOURCE_DATE_EPOCH for the tree."""
    here = (ROOT / "VERSION").read_text(encoding="utf-8").strip()
    if here != version:
        raise Wrong(
            f"the tree is version {here}, not {version}; python tools/set_version.py {version} changes it"
        )
    dirty = run("git", "status", "--porcelain").strip()
    if dirty and not allow_dirty:
        raise Wrong(f"the tree has uncommitted changes:\n{dirty}")
    return run("git", "log", "-1", "--format=%ct").strip()


def build_all(root: Path, out: Path, epoch: str) -> dict[str, str]:
    """Build every distribution of the tree *root* into *out*; file name -> SHA-256."""
    out.mkdir(parents=True)
    build: list[str | Path] = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out]
    env = {"SOURCE_DATE_EPOCH": epoch, "PROCESSION_NATIVE": "require"}
    for name in install_local.all_distributions():
        folder = root / "packages" / name
        if name != "native":
            run(*build, folder, env=env)
            continue
        run(*build, "--sdist", folder, env=env)
        for target in WHEELS:
            run(*build, "--wheel", folder, env={**env, hatch_build.TARGET: target})
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


def copy_tree(folder: Path) -> Path:
    """A copy of the files that are committed or would be, all of them new."""
    for name in run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def compare(first: dict[str, str], second: dict[str, str]) -> None:
    different = sorted(name for name in {*first, *second} if first.get(name) != second.get(name))
    if different:
        raise Wrong(f"two builds of the same tree differ in {', '.join(different)}")


def check_files(out: Path) -> None:
    files = sorted(out.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    wheels = [path for path in files if path.suffix == ".whl"]
    # W009 wants one top-level package a wheel; every wheel here has one, and W002 counts equal py.typed files.
    run("check-wheel-contents", "--ignore", "W002", *wheels)
    for wheel in wheels:
        if "abi3" in wheel.name:
            run("abi3audit", "--strict", "--assume-minimum-abi3", "3.11", wheel)
            check_tag(wheel)


def libc_version(tag: str) -> tuple[str, tuple[int, ...]]:
    """The C library of a platform tag and the oldest version that it promises to run with."""
    found = re.fullmatch(r"(manylinux|musllinux)_(\d+)_(\d+)_\w+", tag)
    if not found:
        raise Wrong(f"{tag} is no manylinux or musllinux tag")
    return found[1], (int(found[2]), int(found[3]))


def check_tag(wheel: Path) -> None:
    """See that the symbols of a wheel are those of the C library that its tag promises."""
    tag = wheel.stem.rpartition("-")[2]
    if tag.startswith("musllinux"):
        check_musl(wheel)
        return
    shown = " ".join(run("auditwheel", "show", wheel).split())
    found = re.search(r'consistent with the following platform tag: "(\w+)"', shown)
    if not found:
        raise Wrong(f"auditwheel does not tell a tag for {wheel.name}: {shown}")
    promised, needed = libc_version(tag), libc_version(found[1])
    if promised[0] != needed[0] or promised[1] < needed[1]:
        raise Wrong(f"{wheel.name} needs {found[1]}")
    say(f"  {wheel.name}: {found[1]} would do")


def environment(folder: Path) -> Path:
    """An empty virtual environment's Python."""
    run("uv", "venv", "--quiet", "--python", sys.executable, folder)
    return folder / "bin" / "python"


def check_musl(wheel: Path) -> None:
    """The same for musl, whose symbols have no versions: auditwheel looks for its files on this machine."""
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    with zipfile.ZipFile(wheel) as packed:
        (module,) = [name for name in packed.namelist() if name.endswith(".so")]
        elf = ELFFile(io.BytesIO(packed.read(module)))
    libraries: set[str] = set()
    wanted: set[str] = set()
    for section in elf.iter_sections():
        if isinstance(section, DynamicSection):
            libraries |= {
                str(getattr(tag, "needed", "?"))
                for tag in section.iter_tags()
                if tag.entry.d_tag == "DT_NEEDED"
            }
        elif isinstance(section, SymbolTableSection):
            wanted |= {symbol.name for symbol in section.iter_symbols() if symbol["st_shndx"] == "SHN_UNDEF"}
    if libraries != {"libc.so"} or wanted & NEWER_THAN_MUSL_1_2_0:
        raise Wrong(f"{wheel.name} needs {sorted(libraries)} and {sorted(wanted & NEWER_THAN_MUSL_1_2_0)}")
    say(f"  {wheel.name}: libc.so and nothing newer than musl 1.2.0")


def run_tests(python: Path, name: str) -> str:
    """The quick tests of one distribution against what is installed; their last line."""
    tests = ROOT / "tests" / name
    if not tests.is_dir():
        return "no tests"
    needed = ["hypothesis", "pytest", "pytest-timeout"]
    run("uv", "pip", "install", "--quiet", "--python", python, *needed)
    env = {"PROCESSION_ISOLATED": name, "PYTHONPATH": ""}
    return run(python, "-m", "pytest", "-q", "--quick", tests, env=env).strip().splitlines()[-1]


def try_wheels(out: Path, folder: Path, tests: bool) -> None:
    program = folder / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    for name in install_local.all_distributions():
        python = environment(folder / name)
        project = "procession" if name == "procession" else f"procession-{name}"
        run("uv", "pip", "install", "--quiet", "--python", python, "--no-index", "--find-links", out, project)
        module = project.replace("-", "_")
        run(python, "-I", "-c", f"import {module}; print({module}.__all__)", cwd=folder)
        run(python, "-I", "-c", isolated.IMPORT_ALL, module, cwd=folder)
        if name == "procession":
            say("  " + run(python, program, cwd=folder).strip())
        if tests:
            say(f"  {project}: {run_tests(python, name)}")
        shutil.rmtree(folder / name)


def try_without_compiler(out: Path, folder: Path) -> None:
    (sdist,) = out.glob("procession_native-*.tar.gz")
    made, nothing = folder / "portable", folder / "empty"
    nothing.mkdir()
    run(
        sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", made, unpack(sdist, folder),
        env={"CC": "", "PATH": str(nothing), "PROCESSION_NATIVE": "auto", hatch_build.TARGET: ""},
    )  # fmt: skip
    (wheel,) = made.glob("*.whl")
    if not wheel.name.endswith("-py3-none-any.whl"):
        raise Wrong(f"without a compiler the native sdist gave {wheel.name}, not a portable wheel")


def unpack(sdist: Path, folder: Path) -> Path:
    shutil.unpack_archive(sdist, folder / "source", filter="data")
    (inside,) = (folder / "source").iterdir()
    return inside


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("version")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where the files go; must not exist")
    parser.add_argument("--tests", action="store_true", help="run the quick tests against the wheels")
    parser.add_argument("--allow-dirty", action="store_true", help="for trying this script itself")
    options = parser.parse_args(arguments)
    if options.out.exists():
        print(f"{options.out} exists already: a release starts from nothing", file=sys.stderr)
        return 2
    try:
        epoch = check_tree(options.version, options.allow_dirty)
        with tempfile.TemporaryDirectory(prefix="procession-release-") as name:
            folder = Path(name)
            say("building twice")
            first = build_all(ROOT, options.out.absolute(), epoch)
            compare(first, build_all(copy_tree(folder / "copy"), folder / "again", epoch))
            say(f"checking {len(first)} files")
            check_files(options.out.absolute())
            say("installing each wheel alone into an empty environment")
            try_wheels(options.out.absolute(), folder, options.tests)
            say("building without a compiler")
            try_without_compiler(options.out.absolute(), folder)
    except Wrong as wrong:
        print(f"no release: {wrong}", file=sys.stderr)
        return 1
    for file, digest in first.items():
        say(f"{digest}  {file}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
