# requires: black>=24
"""black on several files, which it formats in an executor."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    for number in range(6):
        Path(f"file{number}.py").write_text(f"x = {{  'a':{number},'b' :2 }}\ndef f( a,b ) : return a+b\n")
    sys.argv = ["black", "-q", "--workers", "2", "."]
    try:
        runpy.run_module("black", run_name="__main__")
    except SystemExit as end:
        print("status", end.code)
    for path in sorted(Path().glob("*.py")):
        print(path.read_text())
