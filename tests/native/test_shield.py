"""Signal handlers of C around the one that makes a pool's interrupts wait."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.native_only, pytest.mark.linux_only]

CHAINED = """
import faulthandler, os, signal, time
from procession_native import core

def stretch():
    time.sleep(0.005)  # after two milliseconds it looks whose handlers are there
    core.shield_on()
    core.shield_off()

seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
stretch()
with open(os.devnull, "w") as nowhere:
    faulthandler.register(signal.SIGUSR1, file=nowhere, chain=True)  # hands on to the handler that it found
    stretch()
    os.kill(os.getpid(), signal.SIGUSR1)
    deadline = time.monotonic() + 10
    while not seen and time.monotonic() < deadline:
        time.sleep(0.001)
    print(len(seen))
"""

NOTED = """
import os, signal
from procession_native import core

seen = []
signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
core.shield_on()
os.kill(os.getpid(), signal.SIGTERM)
for _ in range(1000):
    pass
print(len(seen))
core.shield_off()
for _ in range(1000):
    pass
print(len(seen), signal.getsignal(signal.SIGURG) == signal.SIG_DFL)
"""


def said_by(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, errors="replace"
    )
    assert done.returncode == 0, (
        signal.strsignal(-done.returncode) if done.returncode < 0 else "",
        done.stderr,
    )
    return done.stdout


def test_a_handler_that_hands_on_to_the_one_it_found_is_not_called_in_a_circle() -> None:
    assert said_by(CHAINED) == "1\n"


def test_the_first_stretch_of_a_process_shields_already() -> None:
    assert said_by(NOTED) == "0\n1 True\n"
