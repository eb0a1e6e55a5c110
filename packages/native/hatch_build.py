"""Build the C core, as a hatchling build hook and as a script.

As a hook it compiles ``csrc/*.c`` into ``procession_native/_core`` and puts the result into the wheel; an
editable install builds beside the sources.  As a script, ``python packages/native/hatch_build.py``, it builds
in place and compiles only what has changed.  The reasons are in docs/internals/native-build.md.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# The oldest CPython whose stable ABI the core is built for; None makes every build specific to its Python
# version.
LIMITED_API: int | None = 0x030B0000

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "csrc"
PACKAGE = HERE / "src" / "procession_native"
SCRATCH = HERE / "build"

FLAGS = [
    "-g",
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wno-unknown-warning-option",  # the next is gcc's
    "-Wno-clobbered",  # of every local beside a transaction: see arena_begin() in arena.h for the rule
    "-fvisibility=hidden",
    "-fno-strict-aliasing",
    "-pthread",
    "-fPIC",
]
SWITCH = "PROCESSION_NATIVE"
# Builds for another system, with zig as the compiler (pip install ziglang): one of TARGETS.
TARGET = "PROCESSION_NATIVE_TARGET"
# Lets a build on macOS have the C core, which was compiled for it and never run.
UNTESTED = "PROCESSION_NATIVE_UNTESTED"

# zig's name of a system, and the platform tag of a wheel for it.  The core's newest symbol in glibc is memfd_create,
# of 2.27; macOS has had os_sync_wait_on_address since 14.4, where older ones cannot load the module.
TARGETS = {
    "x86_64-linux-gnu.2.28": "manylinux_2_28_x86_64",
    "aarch64-linux-gnu.2.28": "manylinux_2_28_aarch64",
    "x86_64-linux-musl": "musllinux_1_2_x86_64",
    "aarch64-linux-musl": "musllinux_1_2_aarch64",
    "x86_64-macos.14.4": "macosx_14_0_x86_64",
    "aarch64-macos.14.4": "macosx_14_0_arm64",
}
# Where a wheel without the core is all there is to have, so that nobody there has to build one.
PORTABLE_TARGET = "portable"
PORTABLE_TAG = "py3-none-macosx_10_9_x86_64.macosx_11_0_arm64.win32.win_amd64.win_arm64"


class BuildFailure(Exception):
    """The C core could not be compiled; the text says what was run and what it answered."""


def target_system() -> str:
    """What is built for: a name of TARGETS, PORTABLE_TARGET, or "" for this machine. Raises BuildFailure for others."""
    wanted = os.environ.get(TARGET, "")
    if wanted and wanted not in (*TARGETS, PORTABLE_TARGET):
        raise BuildFailure(f"{TARGET}={wanted!r} is not one of {', '.join((*TARGETS, PORTABLE_TARGET))}")
    return wanted


def for_macos() -> bool:
    """Whether the module is for macOS."""
    wanted = target_system()
    return "macos" in wanted if wanted else sys.platform == "darwin"


def free_threaded() -> bool:
    """Whether this Python is a build without the GIL, which has no stable ABI before 3.15."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def limited_api() -> int | None:
    """The value of Py_LIMITED_API for this build, or None for a build specific to this Python."""
    return None if free_threaded() else LIMITED_API


def suffix() -> str:
    """The end of the module's file name."""
    return ".abi3.so" if limited_api() else str(sysconfig.get_config_var("EXT_SUFFIX"))


def tag() -> str:
    """The wheel's tag: cp311-abi3-<platform>, or the one of this Python."""
    # Without a target a wheel runs on this machine, and on others only by luck.
    machine = TARGETS.get(target_system()) or sysconfig.get_platform().replace("-", "_").replace(".", "_")
    limit = limited_api()
    if limit:
        return f"cp{limit >> 24}{(limit >> 16) & 0xFF}-abi3-{machine}"
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{version}-{version}{'t' if free_threaded() else ''}-{machine}"


def sources() -> list[Path]:
    """Every C file of the core; those under csrc/tests are programs of their own."""
    return sorted(p for p in SOURCES.rglob("*.c") if "tests" not in p.relative_to(SOURCES).parts)


def unsupported() -> str | None:
    """Why no extension can be built here at all, or None."""
    if platform.python_implementation() != "CPython":
        return f"{platform.python_implementation()} uses the portable variant"
    if target_system() == PORTABLE_TARGET:
        return "the portable variant is asked for"
    if not target_system() and sys.platform == "darwin" and os.environ.get(UNTESTED) != "1":
        return f"the C core was never run on macOS; {UNTESTED}=1 builds it all the same"
    if not target_system() and not sys.platform.startswith(("linux", "darwin")):
        return f"the C core does not run on {sys.platform} yet"
    if target_system() and free_threaded():
        return "a cross build needs the stable ABI, which this Python does not have"
    if not sources():
        return "csrc holds no C file"
    return None


def zig() -> str:
    """The program in the package ziglang; to start it by ``python -m ziglang`` costs each file a start of Python."""
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        raise BuildFailure(f"{TARGET} needs zig: pip install ziglang")
    return str(Path(found.origin).with_name("zig"))


def compiler() -> list[str]:
    """The C compiler's command: zig for a target, else $CC, or the one that built this Python, or cc."""
    if target_system():
        return [zig(), "cc", "-target", target_system()]
    named = os.environ.get("CC")
    if named:
        return shlex.split(named)
    built_with = shlex.split(str(sysconfig.get_config_var("CC") or "cc"))
    return built_with if shutil.which(built_with[0]) else ["cc"]


def run(command: list[str]) -> None:
    """Run one compiler command; its warnings go to stderr."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise BuildFailure(f"cannot run the C compiler {command[0]!r}: {error}") from error
    if done.returncode:
        raise BuildFailure(
            f"{shlex.join(command)}\nended with status {done.returncode}\n{done.stdout}{done.stderr}"
        )
    if done.stderr:
        sys.stderr.write(done.stderr)


def replace_text(path: Path, text: str) -> None:
    """Write a small file in one step, so that a parallel build never reads half of it."""
    spare = path.with_name(f"{path.name}.{os.getpid()}")
    spare.write_text(text)
    os.replace(spare, path)


def build(
    target: Path,
    scratch: Path,
    *,
    module: str = "_core",
    defines: tuple[str, ...] = (),
    level: str = "-O2",
    force: bool = False,
    relink: bool = False,
) -> bool:
    """Compile the core to ``target`` with objects in ``scratch``; True if anything had to be compiled.

    Raises:
        BuildFailure: the compiler is missing or refused a file.
    """
    files = sources()
    limit = limited_api()
    macros = [f"-DPROCESSION_MODULE_NAME={module}", *(f"-D{name}" for name in defines)]
    if limit:
        macros.append(f"-DPy_LIMITED_API={limit:#010x}")
    paths = sysconfig.get_paths()
    includes = [f"-I{SOURCES}", *(f"-I{p}" for p in dict.fromkeys((paths["include"], paths["platinclude"])))]
    extra = shlex.split(os.environ.get("CFLAGS", ""))
    # Where the sources lie must not show in the result, or no build could be repeated elsewhere.
    places = [f"-ffile-prefix-map={place}=." for place in dict.fromkeys((str(HERE), os.getcwd()))]
    command = [*compiler(), level, *FLAGS, *places, *macros, *extra]
    scratch.mkdir(parents=True, exist_ok=True)
    stamp = scratch / "command"
    signature = shlex.join(command) + "\n" + "\n".join(str(p.relative_to(SOURCES)) for p in files)
    if not force:
        force = not stamp.exists() or stamp.read_text() != signature
    headers = [*SOURCES.rglob("*.h"), Path(__file__)]
    newest_header = max(p.stat().st_mtime_ns for p in headers)

    objects = []
    wanted: list[tuple[Path, Path]] = []
    for source in files:
        obj = scratch / (str(source.relative_to(SOURCES).with_suffix("")).replace(os.sep, "-") + ".o")
        objects.append(obj)
        if not force and obj.exists():
            made = obj.stat().st_mtime_ns
            if made > source.stat().st_mtime_ns and made > newest_header:
                continue
        wanted.append((source, obj))

    def compile_one(pair: tuple[Path, Path]) -> None:
        source, obj = pair
        spare = obj.with_name(f"{obj.stem}.{os.getpid()}.o")
        run([*command, *includes, "-c", str(source), "-o", str(spare)])
        os.replace(spare, obj)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, wanted))
    compiled = bool(wanted)
    if (
        compiled
        or relink
        or not target.exists()
        or target.stat().st_mtime_ns < max(p.stat().st_mtime_ns for p in objects)
    ):
        target.parent.mkdir(parents=True, exist_ok=True)
        # A running interpreter may have the old file mapped: never write into it.
        spare = target.with_name(f".{target.name}.{os.getpid()}")
        # Python's own symbols come from the program that loads the module; macOS wants to be told.
        open_ends = ["-undefined", "dynamic_lookup"] if for_macos() else []
        # The lines of the source in a release would name the folders of its compiler's headers.
        open_ends += ["-s"] if target_system() else []
        link = [
            *compiler(),
            "-shared",
            "-pthread",
            *open_ends,
            *extra,
            *shlex.split(os.environ.get("LDFLAGS", "")),
        ]
        run([*link, *map(str, objects), "-o", str(spare)])
        os.replace(spare, target)
        compiled = True
    replace_text(stamp, signature)
    return compiled


def in_place(*, debug: bool = False, faults: bool = False, force: bool = False) -> tuple[Path, bool]:
    """Build beside the Python sources and return the module's path and whether it had to be compiled."""
    module = "_core_faults" if faults else "_core"
    defines = (*(("PROCESSION_DEBUG",) if debug else ()), *(("PROCESSION_FAULTS",) if faults else ()))
    # Every Python shares one stable-ABI build; a version-specific one needs objects of its own.
    kind = "abi3" if limited_api() else str(sysconfig.get_config_var("SOABI"))
    scratch = SCRATCH / f"{kind}{'-debug' if debug else ''}{'-faults' if faults else ''}"
    target = PACKAGE / f"{module}{suffix()}"
    # The debug build has the normal one's place: tell by a note which of them stands there.
    note = SCRATCH / f"{target.name}.from"
    other = not note.exists() or note.read_text() != scratch.name
    level = "-O1" if debug else "-O2"
    made = build(target, scratch, module=module, defines=defines, level=level, force=force, relink=other)
    replace_text(note, scratch.name)
    return target, made


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script by a Python without hatchling
    pass
else:

    class NativeBuildHook(BuildHookInterface[Any]):
        """Compile the core for a wheel; where that cannot be, leave a pure-Python wheel and say so."""

        PLUGIN_NAME = "custom"

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Called by hatchling before it packs the wheel; ``version`` is 'standard' or 'editable'."""
            wish = os.environ.get(SWITCH, "")
            if wish == "0":
                self.app.display_info(f"{SWITCH}=0: a wheel without the C core")
                return
            reason = unsupported()
            if reason is None:
                try:
                    if version == "editable":
                        in_place()
                    else:
                        self._scratch = tempfile.TemporaryDirectory(prefix="procession-native-")
                        target = Path(self._scratch.name, f"_core{suffix()}")
                        build(target, Path(self._scratch.name, "objects"))
                        build_data["force_include"][str(target)] = f"procession_native/{target.name}"
                except BuildFailure as error:
                    reason = str(error)
            if reason is None:
                build_data["pure_python"] = False
                build_data["tag"] = tag()
                return
            if target_system() == PORTABLE_TARGET:
                build_data["tag"] = PORTABLE_TAG
                return
            if wish == "require" or target_system():
                asked = f"{TARGET}={target_system()}" if target_system() else f"{SWITCH}=require"
                raise RuntimeError(f"{asked}, but the C core cannot be built: {reason}")
            self.app.display_warning(f"procession-native is built without the C core: {reason}")

        def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
            """Called by hatchling after packing: drop the objects."""
            scratch = getattr(self, "_scratch", None)
            if scratch is not None:
                scratch.cleanup()


def main(arguments: list[str]) -> int:
    """The script: build in place, as the options say."""
    known = {"--debug", "--faults", "--force"}
    unknown = [a for a in arguments if a not in known]
    if unknown:
        print(
            f"usage: hatch_build.py [--debug] [--faults] [--force]; unknown: {' '.join(unknown)}",
            file=sys.stderr,
        )
        return 2
    try:
        reason = unsupported()
    except BuildFailure as error:
        print(error, file=sys.stderr)
        return 2
    if reason is not None:
        print(f"nothing built: {reason}")
        return 1 if os.environ.get(SWITCH) == "require" else 0
    try:
        target, compiled = in_place(
            debug="--debug" in arguments, faults="--faults" in arguments, force="--force" in arguments
        )
    except BuildFailure as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"{target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target}"
        f"{'' if compiled else ': up to date'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
