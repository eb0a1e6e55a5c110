"""Several processes accept on one listening socket. Usage: mp_webserver.py [PORT [FOLDER]]

The socket is made once and given to the children as an argument: a copy under fork, sent under spawn.
"""

import os
import socket
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler

import procession as mp

WORKERS = 4


def note(text):
    print(f"[{mp.current_process().name}] {text}", file=sys.stderr, flush=True)


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        note(format % args)


def serve(listener, folder):
    os.chdir(folder)
    server = HTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    note("starting server")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


def main(port, folder):
    listener = socket.create_server(("127.0.0.1", port))
    # Those that lose the race for a client must not block in accept().
    listener.setblocking(False)
    print("Serving at http://{}:{}/ using {} worker processes".format(*listener.getsockname(), WORKERS), flush=True)
    for _ in range(WORKERS - 1):
        mp.Process(target=serve, args=(listener, folder), daemon=True).start()
    serve(listener, folder)  # the main process is a worker, too


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0, sys.argv[2] if len(sys.argv) > 2 else ".")
