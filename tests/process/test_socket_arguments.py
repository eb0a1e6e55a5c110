"""A socket may be an argument of a child, whether or not the program has used connections."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import socket, sys
import procession_process as pp

def answer(listener):
    connection, _ = listener.accept()
    connection.sendall(b"hello from the child")
    connection.close()

if __name__ == "__main__":
    pp.set_start_method(sys.argv[1])
    assert "procession_connection" not in sys.modules
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = pp.Process(target=answer, args=(listener,))
        process.start()
        with socket.create_connection(listener.getsockname(), timeout=60) as client:
            print(client.makefile().read(), flush=True)
        process.join()
"""


@pytest.mark.linux_only
def test_a_listening_socket_is_sent(start_method, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    done = subprocess.run([sys.executable, path, start_method], capture_output=True, text=True, timeout=100)
    assert done.stdout == "hello from the child\n", done.stderr
