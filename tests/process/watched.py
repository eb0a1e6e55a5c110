"""Programs that run beside a test, and what the kernel says of their processes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time


def start_program(text, tmp_path, *arguments, **options):
    """Start the program *text*; its streams are pipes."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(text))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, str(program), *arguments], text=True, **{**streams, **options})


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        time.sleep(0.002)


def state(pid):
    """Return the letter that /proc has for the state of the process; X if there is none."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def alive(pid):
    return state(pid) not in "ZX"
