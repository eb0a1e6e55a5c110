# requires: uvicorn>=0.30
"""uvicorn --workers 2, asked until both workers have answered, then told to end."""

from __future__ import annotations

import os
import runpy
import signal
import socket
import sys
import threading
import time
import urllib.request


async def application(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


def ask(port):
    seen = set()
    end = time.monotonic() + 60
    while len(seen) < 2 and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                seen.add(answer.read())
        except OSError:
            time.sleep(0.05)
    print("workers that answered:", len(seen), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threading.Thread(target=ask, args=(port,), daemon=True).start()
    folder, module = os.path.split(os.path.abspath(__file__))
    os.environ["PYTHONPATH"] = os.pathsep.join((folder, os.environ.get("PYTHONPATH", "")))
    sys.path.insert(0, folder)
    application_name = f"{module.removesuffix('.py')}:application"
    sys.argv = ["uvicorn", "--workers", "2", "--port", str(port), "--log-level", "error", application_name]
    try:
        runpy.run_module("uvicorn", run_name="__main__")
    except SystemExit as end:
        print("status", end.code)
