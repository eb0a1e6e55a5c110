"""The module itself, with the buffers that it gives to Python, under AddressSanitizer and the undefined-behaviour one.

The C tests (tools/csan.py) see the core without Python. Here the whole module is built with the sanitizers and the
suites that export, release and outlive buffers run on it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.native_only, pytest.mark.linux_only, pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "packages" / "native"
SUITES = [
    "tests/shm/test_messages.py",
    "tests/shm/test_shared_memory.py",
    "tests/shm/test_shareable_list.py",
    "tests/sharedctypes/test_raw.py",
]
# These two are about memory over thousands of turns, and take minutes here.
LONG = "not ten_thousand and not random_kills"
BUILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import hatch_build
package = Path(sys.argv[2])
hatch_build.build(package / f"_core{hatch_build.suffix()}", package.parent / "scratch", level="-O1")
"""
WHICH = "import procession_native._core as core; print(core.__file__)"


def runtime(name: str) -> str:
    """The sanitizer's library, which has to be loaded before Python."""
    command = [os.environ.get("CC", "cc"), f"-print-file-name=lib{name}.so"]
    try:
        found = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        found = ""
    if not os.path.isabs(found):
        pytest.skip(f"the compiler has no lib{name}")
    return os.path.realpath(found)


def test_buffers_under_the_sanitizers(tmp_path: Path) -> None:
    libraries = [runtime("asan"), runtime("ubsan")]
    package = tmp_path / "procession_native"
    source = NATIVE / "src" / "procession_native"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("_core*.so", "__pycache__"))
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"
    subprocess.run(
        [sys.executable, "-c", BUILD, str(NATIVE), str(package)],
        check=True,
        env={**os.environ, "CFLAGS": flags},
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
        "LD_PRELOAD": " ".join(libraries),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    }
    used = subprocess.run(
        [sys.executable, "-c", WHICH], env=environment, capture_output=True, text=True, check=True
    )
    assert used.stdout.startswith(str(package)), used.stdout
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", LONG, *SUITES]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
