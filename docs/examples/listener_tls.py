"""A Listener and a Client that show each other certificates, and prove to each other that they know the key.

Here both ends are on this machine. On two machines each has its own key file, and the certificates of both.
"""

import ssl
import subprocess
import tempfile
import threading
from pathlib import Path

from procession.connection import Client, Listener

KEY = b"a long random secret, read from a file in real programs"


def serve(listener):
    for _ in range(2):
        with listener.accept() as connection:  # strangers are dropped meanwhile
            who = dict(part[0] for part in connection.tls.getpeercert()["subject"])
            connection.send(f"{connection.recv()}, {who['commonName']}")


def listen(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED  # clients must show a certificate, too
    context.load_verify_locations(folder / "client.pem")  # this one, or one that it has signed
    return Listener(("127.0.0.1", 0), authkey=KEY, ssl=context)


def connect(folder, address, name):
    context = ssl.create_default_context(cafile=folder / "server.pem")
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return Client(address, authkey=KEY, ssl=context, server_hostname="localhost")


def make_certificate(folder, name):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for owner in ("server", "client", "stranger"):
            make_certificate(folder, owner)
        with listen(folder) as listener:
            server = threading.Thread(target=serve, args=(listener,))
            server.start()
            try:
                connect(folder, listener.address, "stranger").recv()
            except (OSError, EOFError):
                print("the stranger has been turned away")
            for _ in range(2):
                with connect(folder, listener.address, "client") as connection:
                    connection.send("hello")
                    print(connection.recv())
            server.join()
