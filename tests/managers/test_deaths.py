"""A manager's server whose parent was killed: it ends without a word, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, sys, time
from procession_managers import SyncManager
from procession_process import set_start_method
set_start_method(sys.argv[1])
manager = SyncManager()
manager.start()
print(manager.address, manager._process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.linux_only
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_parent(number: int, start_method: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, start_method],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None and parent.stderr is not None
        address, pid = parent.stdout.readline().split()
        parent.send_signal(number)
        parent.wait()
        # Closed when the server, too, has ended.
        assert parent.stderr.read() == ""
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{pid}/exe") or os.path.exists(os.path.dirname(address)):
        assert time.monotonic() < deadline, "the server or its directory is still there"
        time.sleep(0.01)
