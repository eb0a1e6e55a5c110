"""Without the guard, a spawned child would start children itself while it imports the main module."""

import subprocess
import sys
import tempfile
from pathlib import Path

UNGUARDED = """
import procession as mp

mp.set_start_method("spawn", force=True)

def hello():
    print("hello")

child = mp.Process(target=hello)
child.start()
child.join()
"""

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "unguarded.py")
        path.write_text(UNGUARDED)
        done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60)
    print("RuntimeError" in done.stderr, "hello" in done.stdout)
