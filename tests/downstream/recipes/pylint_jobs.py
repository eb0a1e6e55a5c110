# requires: pylint>=3
"""pylint -j."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    for number in range(6):
        Path(f"file{number}.py").write_text(f"import os\nx= {number}\n")
    sys.argv = ["pylint", "-j", "2", "--score=n", *(f"file{number}.py" for number in range(6))]
    try:
        runpy.run_module("pylint", run_name="__main__")
    except SystemExit as end:
        print("status", end.code)
