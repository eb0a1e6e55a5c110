"""Functions typed at a prompt run in workers. This program types them into an interactive interpreter."""

import subprocess
import sys

TYPED = """
import procession as mp
mp.set_start_method("{method}")

def square(x):
    return x * x

with mp.Pool(2) as pool:
    print(pool.map(square, range(5)))
    print(pool.map(lambda x: x + 1, range(5)))

exit()
"""

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        command = [sys.executable, "-i", "-q", "-c", ""]
        done = subprocess.run(command, input=TYPED.format(method=method), capture_output=True, text=True, timeout=60)
        print(method, *[line for line in done.stdout.splitlines() if line.startswith("[")])
