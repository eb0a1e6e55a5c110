"""Memory with a name, for programs that are no relatives."""

import subprocess
import sys

from procession.shared_memory import SharedMemory

READER = """
import sys
from procession.shared_memory import SharedMemory

segment = SharedMemory(name=sys.argv[1], track=False)  # this process is not to remove it
print(bytes(segment.buf[:5]))
segment.close()
"""

if __name__ == "__main__":
    segment = SharedMemory(create=True, size=100)
    segment.buf[:5] = b"hello"
    subprocess.run([sys.executable, "-c", READER, segment.name], check=True)
    segment.close()
    segment.unlink()  # once, by whoever knows that nobody needs the name any more
