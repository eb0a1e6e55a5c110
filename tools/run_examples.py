"""Run every program of docs/examples and say which of them failed.

Usage: ``python tools/run_examples.py [NAME ...]``, NAME without ``.py``.  Each program has two minutes. Those that
serve until they are interrupted are left out: tests/examples drives them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
SECONDS = 120
ENDLESS = ("mp_webserver",)


def run(path: Path) -> str | None:
    """Run one program; None, or why it failed."""
    try:
        done = subprocess.run(
            [sys.executable, str(path)],
            cwd=EXAMPLES,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {SECONDS} s"
    return f"status {done.returncode}\n{done.stdout}" if done.returncode else None


def main(arguments: list[str]) -> int:
    """The command: run all, or those named."""
    programs = [
        p for p in sorted(EXAMPLES.glob("*.py")) if not p.name.startswith("_") and p.stem not in ENDLESS
    ]
    if arguments:
        programs = [p for p in programs if p.stem in arguments]
    failed = 0
    for path in programs:
        begun = time.monotonic()
        reason = run(path)
        print(
            f"{path.name}: {'failed: ' + reason if reason else 'ok'} ({time.monotonic() - begun:.1f} s)",
            flush=True,
        )
        failed += reason is not None
    print(f"{len(programs) - failed} of {len(programs)} examples ran to their end")
    return 1 if failed or not programs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
