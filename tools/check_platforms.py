"""Check the types for the platforms that this machine is not: ``python tools/check_platforms.py [PLATFORM ...]``

Runs mypy over the shipped code once for each of darwin and win32. What a platform has not is no error in a file that
refuses to be imported there (``raise ImportError("... needs POSIX ...")`` at its top, or at the top of its package),
nor in one whose name says that it belongs to another.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLATFORMS = ("darwin", "win32")
REFUSAL = "needs POSIX"
LINUX_REFUSAL = "needs Linux"
TOP_LINES = 40


def refuses(path: Path, platform: str) -> bool:
    """Whether the file says at its top that it is not for *platform*."""
    if not path.is_file():
        return False
    top = "\n".join(path.read_text(encoding="utf-8").splitlines()[:TOP_LINES])
    return LINUX_REFUSAL in top or (platform == "win32" and REFUSAL in top)


def belongs_elsewhere(name: str, platform: str) -> bool:
    """Whether *name*, a file relative to the root, does not count on *platform*."""
    path = ROOT / name
    # Siblings named for the native variant are imported where the C core is, which is on Linux.
    if "linux" in path.stem or "_native" in path.stem:
        return True
    return refuses(path, platform) or any(
        refuses(folder / "__init__.py", platform) for folder in path.parents if folder != ROOT
    )


def check(platform: str) -> list[str]:
    """The lines of mypy that count."""
    packages = [str(path) for path in sorted(ROOT.glob("packages/*/src"))]
    command = [sys.executable, "-m", "mypy", "--platform", platform, "--no-error-summary", *packages]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        return [done.stdout + done.stderr]
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    # The same comments silence what other platforms complain of.
    lines = [line for line in lines if "[unused-ignore]" not in line]
    return [line for line in lines if not belongs_elsewhere(line.partition(":")[0], platform)]


def main(arguments: list[str]) -> int:
    """The command."""
    platforms = arguments or list(PLATFORMS)
    if unknown := [platform for platform in platforms if platform not in PLATFORMS]:
        print(f"unknown platforms {unknown}; there are {list(PLATFORMS)}", file=sys.stderr)
        return 2
    failed = False
    for platform in platforms:
        errors = check(platform)
        print("\n".join([*errors, f"{platform}: {len(errors)} errors"]), flush=True)
        failed |= bool(errors)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
