# requires: flake8>=7
"""flake8 -j."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    for number in range(6):
        Path(f"file{number}.py").write_text(f"import os\nx= {number}\n")
    sys.argv = ["flake8", "-j", "2", *(f"file{number}.py" for number in range(6))]
    try:
        runpy.run_module("flake8", run_name="__main__")
    except SystemExit as end:
        print("status", end.code)
